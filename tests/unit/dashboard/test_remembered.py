"""What a server keeps for the next one: it must never show what is not so any more."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from expman.dashboard import catalog as catalog_file
from expman.dashboard.catalog import Catalog
from expman.dashboard.remembered import Remembered
from expman.storage.paths import replace_file


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory of the test's own; one run is many."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(catalog_file, "FEWEST_RUNS", 1)
    return tmp_path / "cache" / "expman" / "ui"


def started(base: Path) -> Catalog:
    catalog = Catalog(str(base))
    catalog.begin()
    return catalog


def test_runs_that_have_not_changed_are_not_read_again(
    base: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their rows are those of the last time; new runs, changed and deleted ones are seen."""
    for name in ("two", "three"):
        shutil.copytree(base / "exp" / "one", base / "exp" / name)
    first = started(base)
    first.remember()
    shutil.rmtree(base / "exp" / "two")
    shutil.copytree(base / "exp" / "one", base / "exp" / "four")
    path = base / "exp" / "three" / "run.yaml"
    replace_file(str(path), path.read_bytes().replace(b"FINISHED", b"FAILED"))
    read: list[str] = []
    record_of = catalog_file.record_of

    def noting(run_dir: str, *rest: object) -> bytes:
        read.append(os.path.basename(run_dir))
        return record_of(run_dir, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(catalog_file, "record_of", noting)

    second = started(base)

    assert {"three", "four"} == set(read)
    assert {"exp/one", "exp/three", "exp/four"} == set(second._runs)
    assert b'"FAILED"' in second.record("exp/three")
    assert first.record("exp/one") == second.record("exp/one")
    assert [0o600] == [path.stat().st_mode & 0o777 for path in cache.iterdir()]


def test_live_runs_are_not_kept(base: Path) -> None:
    """They change."""
    path = base / "exp" / "one" / "run.yaml"
    replace_file(str(path), path.read_bytes().replace(b"FINISHED", b"RUNNING"))

    started(base).remember()

    assert {} == Remembered(str(base)).load()[1]


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x94\x01\xa1x\xa1y\x80", b"\0" * 100])
def test_a_file_that_cannot_be_used_is_ignored(base: Path, cache: Path, data: bytes) -> None:
    """Damaged, of another version, or of another directory."""
    started(base).remember()
    next(cache.iterdir()).write_bytes(data)

    assert {} == Remembered(str(base)).load()[1]
    assert ["exp/one"] == list(started(base)._runs)


def test_a_cache_that_cannot_be_written_costs_nothing(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is anything left behind."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nothing")

    started(base).remember()

    assert {} == Remembered(str(base)).load()[1]
