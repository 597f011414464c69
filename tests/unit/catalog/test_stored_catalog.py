"""The catalog of a store: few requests, and never anything else than the runs' own objects say."""

from __future__ import annotations

import os
import pickle
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from unit.reading.run_files import block, make_run

import expman
from expman import catalog
from expman.catalog import compaction, stored
from expman.errors import ConfigError, StorageError
from expman.models import RunStatus
from expman.storage.catalog_files import Manifest
from expman.storage.object_store import ObjectStore
from expman.storage.run_copy import CHANGED, copy_run

RUNS = 8
COLUMNS = ["experiment", "run", "status", "tags", "params.lr", "loss:min"]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base directory with runs of which each has rows of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    base = tmp_path / "base"
    for number in range(RUNS):
        make_run(
            base,
            f"r{number:02d}",
            block(0, {"loss": [number + 0.5, 0.25]}),
            params={"lr": number},
            started_at=f"2026-01-31T12:00:{number:02d}.000000Z",
            vectors={"loss": 0.25},
        )
    return base


@pytest.fixture
def url(tmp_path: Path) -> str:
    (tmp_path / "store").mkdir()
    return f"file://{tmp_path / 'store'}"


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What is asked of stores: how often each operation, and which keys are read."""
    found: Counter[str] = Counter()

    def counted(operation: str) -> Callable[..., object]:
        original = getattr(ObjectStore, operation)

        def call(store: ObjectStore, key: str = "", *rest: object) -> object:
            found[operation] += 1
            return original(store, key, *rest)

        return call

    for operation in ("list", "folders", "read"):
        monkeypatch.setattr(ObjectStore, operation, counted(operation))
    return found


def same(base: Path, url: str) -> None:
    """The store gives what the directory gives: runs, values, rows."""
    here, there = expman.runs(base), expman.runs(url)
    assert here.table(COLUMNS).equals(there.table(COLUMNS))
    assert expman.vectors(here).equals(expman.vectors(there))


def change(base: Path, name: str, **facts: object) -> Path:
    """Gives an ended run another run.yaml, as an edit does."""
    return make_run(base, name, tags=["changed"], **facts)  # type: ignore[arg-type]


def copy_alone(base: Path, url: str, name: str, is_live: bool = False) -> None:
    """Copies one run, as the process beside its writer does: the catalog stays as it is."""
    store, key = ObjectStore(url), f"exp/{name}"
    there = {found[len(key) + 1 :]: one for found, one in store.list(key).items()}
    copy_run(str(base / "exp" / name), store, key, there, is_live=is_live)


def test_a_list_takes_a_handful_of_requests(
    base: Path, url: str, requests: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many runs there are; so do values, and rows, which are in few files."""
    monkeypatch.setattr(compaction, "LEAST_RUNS", 2)
    assert RUNS == catalog.mirror(base, url).cataloged
    requests.clear()
    runs = expman.runs(url)
    assert {"list": 1, "folders": 2, "read": 2} == requests  # marks; names; manifest and table
    runs.table(COLUMNS)
    runs.listed()
    assert [RunStatus.FINISHED] * RUNS == [run.status for run in runs]
    assert 5 == requests.total()
    expman.vectors(runs)
    assert 6 == requests.total()
    requests.clear()
    assert RUNS == expman.runs(url).sql("SELECT count(*) AS n FROM runs")["n"][0].as_py()
    assert {"list": 1, "folders": 2, "read": 1} == requests
    same(base, url)


def test_the_table_of_all_runs_is_that_of_the_directory(base: Path, url: str) -> None:
    """`catalog.open` takes a URL, too."""
    catalog.mirror(base, url)
    assert catalog.open(base).equals(catalog.open(url))


def test_a_catalog_that_changes_nothing_is_not_written(base: Path, url: str) -> None:
    """A second call puts nothing."""
    catalog.mirror(base, url)
    before = sorted(os.listdir(url.removeprefix("file://") + "/.catalog"))
    catalog.mirror(base, url)
    assert before == sorted(os.listdir(url.removeprefix("file://") + "/.catalog"))


def test_a_changed_run_is_read_from_its_own_objects(base: Path, url: str) -> None:
    """Whoever copied it: its row does not count, before and after the next catalog."""
    catalog.mirror(base, url)
    change(base, "r03", status=RunStatus.FAILED)
    make_run(base, "live", status=RunStatus.RUNNING, started_at="2026-02-01T12:00:00.000000Z")
    copy_alone(base, url, "r03")
    copy_alone(base, url, "live", is_live=True)
    same(base, url)
    catalog.mirror(base, url)
    same(base, url)
    change(base, "r03", status=RunStatus.CRASHED)
    catalog.mirror(base, url)
    same(base, url)


def test_a_run_that_goes_on_is_live_at_once(base: Path, url: str) -> None:
    """Also where its end was in the catalog; its own end is noticed again."""
    catalog.mirror(base, url)
    for status in (RunStatus.RUNNING, RunStatus.FINISHED, RunStatus.FAILED):
        change(base, "r05", status=status)
        copy_alone(base, url, "r05", is_live=status is RunStatus.RUNNING)
        same(base, url)
    assert 2 == len(ObjectStore(url).list(CHANGED))  # the second end replaced one that was live


def test_parameters_and_rows_count_too(base: Path, url: str) -> None:
    """A mark comes before each file that the row was made of."""
    catalog.mirror(base, url)
    (base / "exp" / "r01" / "config.yaml").write_text("lr: 77\n")
    copy_alone(base, url, "r01")
    same(base, url)


@pytest.mark.parametrize("operation", range(4))
def test_killed_while_a_changed_run_is_copied(base: Path, url: str, operation: int) -> None:
    """The store has the state before or after, and readers get the one that it has."""

    class Killed(ObjectStore):
        count = 0

        def _try(self, key, operation_):  # type: ignore[no-untyped-def]
            self.count += 1
            if self.count > operation:
                raise StorageError(key, "killed")
            return super()._try(key, operation_)

    catalog.mirror(base, url)
    change(base, "r03", status=RunStatus.FAILED)
    there = {
        key.removeprefix("exp/r03/"): one for key, one in ObjectStore(url).list("exp/r03").items()
    }
    with pytest.raises(StorageError):
        copy_run(str(base / "exp/r03"), Killed(url), "exp/r03", there)
    (run,) = [run for run in expman.runs(url) if run.name == "r03"]
    (table,) = expman.runs(url, status=[run.status]).table(["run", "status"]).to_pylist()[-1:]
    own = expman.Run(f"{url}/exp/r03")
    assert own.status is run.status
    assert (own.status is RunStatus.FAILED) == (table == {"run": "r03", "status": "FAILED"})
    catalog.mirror(base, url)
    same(base, url)


def test_new_and_deleted_runs_are_noticed_by_their_names(base: Path, url: str) -> None:
    """Nothing has to be written for that."""
    catalog.mirror(base, url)
    shutil.rmtree(url.removeprefix("file://") + "/exp/r07")
    make_run(base, "new", block(0, {"loss": [1.0]}), started_at="2026-03-01T12:00:00.000000Z")
    copy_alone(base, url, "new")
    assert {"new"} == {run.name for run in expman.runs(url, since="2026-02-15")}
    assert "r07" not in [run.name for run in expman.runs(url)]
    with pytest.raises(StorageError):
        expman.Run(f"{url}/exp/r07").vectors()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version": 99}'])
@pytest.mark.parametrize("kind", ["manifest.json", "runs-"])
def test_a_damaged_catalog_costs_only_time(base: Path, url: str, damage: bytes, kind: str) -> None:
    """The runs' objects are read, and the next call makes it anew."""
    catalog.mirror(base, url)
    for path in Path(url.removeprefix("file://"), ".catalog").glob(f"{kind}*"):
        path.write_bytes(damage)
    same(base, url)
    assert RUNS == catalog.mirror(base, url).cataloged
    same(base, url)


def test_two_base_directories_in_one_store(base: Path, url: str, tmp_path: Path) -> None:
    """Each call keeps the rows of the other."""
    other = tmp_path / "other"
    for number in range(3):
        make_run(other, f"o{number}", experiment="more")
    catalog.mirror(base, url)
    assert RUNS + 3 == catalog.mirror(other, url).cataloged
    assert RUNS + 3 == catalog.mirror(base, url).cataloged
    assert 3 == len(expman.runs(url, "more"))
    shutil.rmtree(url.removeprefix("file://") + "/more/o1")
    assert RUNS + 2 == catalog.mirror(base, url).cataloged


def test_parts_that_another_builder_replaces(
    base: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of their runs are in the runs' own files, until the next call."""
    monkeypatch.setattr(compaction, "LEAST_RUNS", 2)
    with monkeypatch.context() as patch:
        patch.setattr(stored, "read_manifest", lambda base_dir: Manifest())
        assert RUNS == catalog.mirror(base, url).cataloged
        same(base, url)
    catalog.mirror(base, url)
    same(base, url)


def test_a_cache_that_cannot_be_made(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names it."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match=f"{tmp_path}/file/expman/stores"):
        expman.runs(url)


def test_a_base_directory_that_cannot_be_written(
    base: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has a table of runs; rows are in the runs' own files."""

    def refuse(base_dir: str) -> None:
        raise StorageError(base_dir, "is read-only")

    monkeypatch.setattr(stored, "build", refuse)
    assert RUNS == catalog.mirror(base, url).cataloged
    same(base, url)


def test_marks_go_when_the_catalog_was_right_for_long(
    base: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the call that makes it right: another one may be about to replace its catalog."""
    catalog.mirror(base, url)
    change(base, "r03", status=RunStatus.FAILED)
    catalog.mirror(base, url)
    catalog.mirror(base, url)
    assert 1 == len(ObjectStore(url).list(CHANGED))
    monkeypatch.setattr(stored, "_SAFE_S", -1.0)
    catalog.mirror(base, url)
    assert {} == ObjectStore(url).list(CHANGED)
    same(base, url)


def test_one_run_by_its_url(base: Path, url: str, requests: Counter[str]) -> None:
    """Nothing else is listed, and its files are fetched once."""
    run_dir = base / "exp" / "r04"
    (run_dir / "artifacts").mkdir()
    (run_dir / "artifacts" / "model.bin").write_bytes(b"weights")
    catalog.mirror(base, url)
    requests.clear()
    run = expman.Run(f"{url}/exp/r04")
    assert (RunStatus.FINISHED, {"lr": 4}) == (run.status, run.config)
    assert {"list": 1, "read": 2} == requests
    assert expman.Run(run_dir).vectors().equals(run.vectors())
    assert [f"{url}/exp/r04/artifacts/model.bin"] == run.artifacts()
    again = pickle.loads(pickle.dumps(run))
    assert (run, 4) == (again, again.config["lr"])
    assert f"Run('{url}/exp/r04')" == repr(run)


def test_runs_by_the_names_of_the_command(
    base: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`latest` and beginnings, in a directory and in a store."""
    catalog.mirror(base, url)
    newest, fifth = f"r{RUNS - 1:02d}", base / "exp" / "r05"
    monkeypatch.setenv("EXPMAN_BASE_DIR", str(base))
    assert [newest, newest, "r05"] == [
        expman.Run(name).name for name in ("latest", "exp/latest", "r05")
    ]
    assert newest == expman.Run(f"{url}/exp/latest").name
    assert newest == expman.Run("latest", base_dir=url).name
    assert expman.Run("exp/r05") == expman.Run(fifth)
    with pytest.raises(StorageError, match="is not unique: exp/r"):
        expman.Run("exp/r")
    with pytest.raises(StorageError, match="did you mean"):
        expman.Run("exp/s05")
    with pytest.raises(StorageError, match="no such directory"):
        expman.Run(str(base / "exp" / "zzz"))
    with pytest.raises(StorageError, match="no run in"):
        expman.Run(f"{url}/exp/zzz")
    with pytest.raises(ConfigError):
        expman.Run("ftp://host/a/b/c")
