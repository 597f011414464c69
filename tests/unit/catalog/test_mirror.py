"""Copies of runs in a store: whole or known not to be, whatever went wrong, and readable."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from unit.reading.run_files import block, make_run

import expman
from expman import catalog
from expman.errors import ConfigError, StorageError
from expman.models import RunStatus
from expman.storage import run_copy
from expman.storage.object_store import ObjectStore
from expman.storage.paths import CATALOG
from expman.storage.vectors import VectorStore

ROWS = {"loss": [0.5, 0.25, 0.125]}


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base directory with two runs that have ended."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    base = tmp_path / "base"
    for name in ("a", "b"):
        run_dir = make_run(base, name, block(0, ROWS), params={"lr": 0.1})
        (run_dir / "artifacts").mkdir()
        (run_dir / "artifacts" / "model.bin").write_bytes(b"weights")
    (base / "exp" / "experiment.yaml").write_text("display_name: x\n")
    return base


@pytest.fixture
def url(tmp_path: Path) -> str:
    (tmp_path / "store").mkdir()
    return f"file://{tmp_path / 'store'}"


def files_of(directory: Path) -> dict[str, bytes]:
    """Names and contents of the files below a directory, without manifests and catalogs."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in found
        if not {run_copy.MANIFESTS, CATALOG} & set(path.parts)
    }


def same(base: Path, store: Path) -> None:
    assert files_of(base) == files_of(store)


def test_the_store_has_the_same_files(base: Path, url: str, tmp_path: Path) -> None:
    """Under the same names; a second call copies nothing."""
    report = catalog.mirror(base, url)
    assert (2, 2, []) == (report.runs, report.whole, report.failed)
    same(base, tmp_path / "store")
    assert (2, 0) == (lambda r: (r.whole, r.files))(catalog.mirror(base, url))


def test_only_what_changed_is_copied(base: Path, url: str, tmp_path: Path) -> None:
    """A file that was replaced, and one that came."""
    catalog.mirror(base, url)
    run_dir = base / "exp" / "a"
    (run_dir / "config.yaml").write_text("lr: 0.2\n")
    (run_dir / "artifacts" / "new").write_bytes(b"1")
    assert (2, 2) == (lambda r: (r.whole, r.files))(catalog.mirror(base, url))
    same(base, tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "exp" / "b")
    assert 2 == catalog.mirror(base, url).whole
    same(base, tmp_path / "store")


def test_names_that_are_not_utf_8(base: Path, url: str, tmp_path: Path) -> None:
    """Of runs and of artifacts: they have escapes in the store, and cost no other file."""
    odd = os.fsdecode(b"caf\xe9")
    (base / "exp" / "a" / "artifacts" / odd).write_bytes(b"menu")
    shutil.copytree(base / "exp" / "b", base / "exp" / odd)
    report = catalog.mirror(base, url)
    assert (3, 3, []) == (report.runs, report.whole, report.failed)
    escaped = odd.encode("utf-8", "backslashreplace").decode()
    assert b"menu" == (tmp_path / "store" / "exp" / "a" / "artifacts" / escaped).read_bytes()
    assert 3 == expman.Run(f"{url}/exp/{escaped}").vectors().num_rows
    (base / "exp" / "a" / "artifacts" / odd).write_bytes(b"another menu")
    assert (3, 1) == (lambda r: (r.whole, r.files))(catalog.mirror(base, url))


def live_run(base: Path) -> tuple[Path, VectorStore]:
    run_dir = make_run(base, "live", status=RunStatus.RUNNING)
    return run_dir, VectorStore(str(run_dir))


def test_rows_of_a_live_run_are_there_once(base: Path, url: str) -> None:
    """At each moment: in the tail, in both files, and in vectors.parquet alone."""
    _, store = live_run(base)
    for number in range(4):
        store.append(block(3 * number, ROWS))
        store.flush()
        if number == 2:
            list(store.consolidate())
        catalog.mirror(base, url)
        (run,) = [run for run in expman.runs(url) if run.name == "live"]
        assert list(range(3 * number + 3)) == run.vectors(["_seq"])["_seq"].to_pylist()
    store.finish()
    store.close()
    catalog.mirror(base, url)
    (run,) = [run for run in expman.runs(url) if run.name == "live"]
    assert list(range(12)) == run.vectors(["_seq"])["_seq"].to_pylist()


def test_a_large_file_of_a_live_run_waits_until_it_has_grown(
    base: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the store has an earlier state, without a gap; the run's end copies all."""
    monkeypatch.setattr(run_copy, "LARGE_BYTES", 0)
    _, store = live_run(base)
    store.append(block(0, {"loss": [math.sin(number) for number in range(3000)]}))
    store.flush()
    list(store.consolidate())
    assert 3 == catalog.mirror(base, url).whole
    store.append(block(3000, ROWS))
    store.flush()
    list(store.consolidate())
    store.append(block(3003, ROWS))
    store.flush()
    assert 2 == catalog.mirror(base, url).whole
    (run,) = [run for run in expman.runs(url) if run.name == "live"]
    assert list(range(3000)) == run.vectors(["_seq"])["_seq"].to_pylist()
    store.finish()
    store.close()
    make_run(base, "live", status=RunStatus.FINISHED)
    assert 3 == catalog.mirror(base, url).whole
    (run,) = [run for run in expman.runs(url) if run.name == "live"]
    assert 3006 == run.vectors(["_seq"]).num_rows


class FaultyStore(ObjectStore):
    """Fails at the operations that the test chooses."""

    def __init__(self, url: str, fails: Callable[[int, str], bool]) -> None:
        super().__init__(url, patience_s=0.0)
        self.count = 0
        self.fails = fails

    def _try(self, key, operation):  # type: ignore[no-untyped-def]
        self.count += 1
        if self.fails(self.count, key):
            raise StorageError(key, "HTTP 500")
        return super()._try(key, operation)


def test_a_run_that_fails_costs_no_other(base: Path, url: str, tmp_path: Path) -> None:
    """It is named, and the next call copies the rest."""
    store = FaultyStore(url, lambda _, key: key.startswith("exp/a/vectors"))
    report = catalog.mirror(base, url, store=store)
    assert [str(base / "exp" / "a")] == [path for path, _ in report.failed]
    assert (2, 1) == (report.runs, report.whole)
    assert ["b"] == [run.name for run in expman.runs(url)]
    catalog.mirror(base, url)
    same(base, tmp_path / "store")


def test_killed_at_any_operation_the_next_call_completes_it(
    base: Path, url: str, tmp_path: Path
) -> None:
    """Nothing is doubled or missing, whichever operation was the last one."""
    for last in range(2, 30):
        shutil.rmtree(tmp_path / "store")
        (tmp_path / "store").mkdir()
        store = FaultyStore(url, lambda count, _, last=last: count >= last)  # type: ignore[misc]
        failed = catalog.mirror(base, url, store=store).failed
        report = catalog.mirror(base, url)
        assert (2, []) == (report.whole, report.failed)
        same(base, tmp_path / "store")
        if not failed:
            break
    assert not failed


def test_rows_are_never_missing_between_two_objects(
    base: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tail is copied first: rows that are consolidated meanwhile are in one of the two."""
    _, store = live_run(base)
    store.append(block(0, ROWS))
    store.flush()
    catalog.mirror(base, url)
    for number, at in enumerate(range(1, 6), 1):
        store.append(block(3 * number, ROWS))
        store.flush()
        seen: list[int] = []

        def consolidate(point: str, at: int = at, seen: list[int] = seen) -> None:
            seen.append(1)
            if point == "copy-after-put" and len(seen) == at:
                list(store.consolidate())

        monkeypatch.setattr(run_copy, "hit", consolidate)
        catalog.mirror(base, url)
        monkeypatch.undo()
        monkeypatch.setenv("XDG_CACHE_HOME", str(base.parent / "cache"))
        (run,) = [run for run in expman.runs(url) if run.name == "live"]
        found = run.vectors(["_seq"])["_seq"].to_pylist()
        assert list(range(3 * number + 3)) == found
    store.close()


def test_runs_are_read_from_the_store(base: Path, url: str) -> None:
    """Lists, filters, tables and rows are those of the directories."""
    catalog.mirror(base, url)
    expected, found = expman.runs(base), expman.runs(url)
    columns = ["experiment", "run", "status", "params.lr", "loss:min"]
    assert expected.table(columns).equals(found.table(columns))
    assert expman.vectors(expected).equals(expman.vectors(found))
    assert [] == list(expman.runs(url, status="failed"))
    assert f"{url}/exp/b" == found[0].url  # type: ignore[attr-defined]
    shutil.rmtree(base)
    assert 6 == expman.vectors(expman.runs(url)).num_rows
    with pytest.raises(StorageError):
        expman.runs(base)


def test_what_the_cache_has_is_not_fetched_again(
    base: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only objects of another size or time are; a run that is gone from the store leaves it."""
    catalog.mirror(base, url)
    read: list[str] = []
    original = ObjectStore.read

    def count(store: ObjectStore, key: str) -> bytes:
        read.append(key)
        return original(store, key)

    monkeypatch.setattr(ObjectStore, "read", count)
    expman.vectors(expman.runs(url))
    assert 2 == sum(key.endswith("vectors.parquet") for key in read)
    assert not any("artifacts" in key for key in read)
    read.clear()
    expman.vectors(expman.runs(url))
    assert [".catalog/manifest.json"] == read
    shutil.rmtree(url.removeprefix("file://") + "/exp/a")
    assert ["b"] == [run.name for run in expman.runs(url)]


@pytest.mark.parametrize("url", ["s3://", "ftp://host/x", "s3://bucket/x?color=red", "s3:bucket"])
def test_a_url_that_means_nothing_is_refused(tmp_path: Path, url: str) -> None:
    """With the setting's name."""
    with pytest.raises(ConfigError):
        catalog.mirror(tmp_path, url)


def test_without_a_base_directory_nothing_is_stored(tmp_path: Path, url: str) -> None:
    """The error is that of readers."""
    with pytest.raises(StorageError):
        catalog.mirror(tmp_path / "none", url)
    assert [] == os.listdir(tmp_path / "store")


def test_a_store_that_comes_back_is_tried_again(url: str) -> None:
    """Operations that fail in passing succeed in the end; refused credentials fail at once."""
    store = ObjectStore(url, patience_s=60.0)
    store._ended.wait = lambda _: False  # type: ignore[method-assign,assignment]
    answers: list[Exception | int] = [OSError("HTTP 500"), OSError("timeout"), 7]

    def operation() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert 7 == store._try("key", operation)
    answers = [OSError("AWS Error ACCESS_DENIED"), 8]
    with pytest.raises(StorageError, match="ACCESS_DENIED"):
        store._try("key", operation)
    assert [8] == answers


def test_progress_is_reported(base: Path, url: str) -> None:
    """After each run."""
    seen: list[int] = []
    catalog.mirror(base, url, progress=lambda report: seen.append(report.runs))
    assert [1, 2] == seen
