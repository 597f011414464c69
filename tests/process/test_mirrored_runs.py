"""Runs with mirror=: copied beside the writer, whatever the store, or anybody, does."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from leaks import processes
from process.runs import DEADLINE_S, wait_until

import expman
from expman import ExperimentConfig, LoggingEngine, RunStatus, catalog
from expman.errors import ConfigError
from expman.storage.paths import MIRROR_LOCK


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "store"


def mirrors(run_dir: str) -> list[int]:
    """The processes that copy a run."""
    return [
        process.pid
        for process in processes()
        if f"mirror {run_dir}" in process.command.replace("\0", " ")
    ]


def is_whole(run_dir: str, store: Path) -> bool:
    here = Path(run_dir)
    there = store / here.parent.name / here.name
    names = [path.relative_to(here) for path in here.rglob("*") if path.is_file()]
    return all(
        (there / name).exists() and (here / name).read_bytes() == (there / name).read_bytes()
        for name in names
        if not str(name).startswith(".")
    )


def test_a_run_is_copied_to_its_end(run_base: Path, store: Path, tmp_path: Path) -> None:
    """All its files, then run.yaml without a count; the process ends, and leaves nothing."""
    (tmp_path / "model.bin").write_bytes(b"weights")
    url = store.as_uri()
    with LoggingEngine(ExperimentConfig("exp", run_base, run_name="a", mirror=url)) as engine:
        for step in range(50):
            engine.log_vector({"loss": 1 / (step + 1)}, step)
        engine.log_params({"lr": 0.1})
        engine.save_artifact(tmp_path / "model.bin")
    run = expman.Run(engine.run_dir)
    wait_until(lambda: run.metadata.mirror_behind == 0, "all is copied")
    wait_until(lambda: not mirrors(engine.run_dir), "the process has ended")
    assert is_whole(engine.run_dir, store)
    assert (url, RunStatus.FINISHED) == (run.metadata.mirror, run.status)
    assert not [name for name in os.listdir(engine.run_dir) if name.startswith(".mirror")]
    (copy,) = expman.runs(url)
    assert run.vectors().equals(copy.vectors())
    assert 0 == catalog.mirror(run_base, url).files


def test_rows_of_a_live_run_are_in_the_store(run_base: Path, store: Path) -> None:
    """The first copy comes soon, and the store can be read meanwhile."""
    url = store.as_uri()
    engine = LoggingEngine(ExperimentConfig("exp", run_base, mirror=url))
    engine.log_vector({"loss": 0.5}, 0)
    engine.flush()
    wait_until(lambda: (store / "exp").exists() and len(expman.runs(url)), "a first copy")
    (copy,) = expman.runs(url)
    assert RunStatus.RUNNING == copy.status
    engine.close()
    wait_until(lambda: expman.runs(url)[0].status is RunStatus.FINISHED, "the end is copied")
    wait_until(lambda: not mirrors(engine.run_dir), "the process has ended")
    assert 1 == expman.runs(url)[0].vectors().num_rows


def test_a_run_that_goes_on_is_copied_again(run_base: Path, store: Path) -> None:
    """The next attempt begins while the first one is still being copied, or after that."""
    url = store.as_uri()
    for attempt in range(3):
        config = ExperimentConfig("exp", run_base, run_name="a", resume="allow", mirror=url)
        with LoggingEngine(config) as engine:
            for step in range(3 * attempt, 3 * attempt + 3):
                engine.log_vector({"loss": 0.5}, step)
        if attempt == 1:
            wait_until(lambda: not mirrors(str(run_base / "exp" / "a")), "all is copied")
    run = expman.Run(engine.run_dir)
    wait_until(lambda: run.metadata.mirror_behind == 0, "all is copied")
    wait_until(lambda: not mirrors(engine.run_dir), "the process has ended")
    assert is_whole(engine.run_dir, store)
    assert list(range(9)) == expman.runs(url)[0].vectors(["step"])["step"].to_pylist()


def test_a_store_that_is_away_holds_up_nothing(run_base: Path, tmp_path: Path) -> None:
    """run.yaml counts what is not copied; `expman mirror` copies it later, and counts nothing."""
    (tmp_path / "file").write_text("no directory")
    url = (tmp_path / "file" / "store").as_uri()
    began = time.monotonic()
    with LoggingEngine(ExperimentConfig("exp", run_base, run_name="a", mirror=url)) as engine:
        engine.log_vector({"loss": 0.5}, 0)
    assert time.monotonic() - began < DEADLINE_S
    run = expman.Run(engine.run_dir)
    assert RunStatus.FINISHED == run.status
    assert run.metadata.mirror_behind >= 2
    for pid in wait_until(lambda: mirrors(engine.run_dir), "it tries"):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not mirrors(engine.run_dir), "it was killed")
    (tmp_path / "file").unlink()
    report = catalog.mirror(run_base, url)
    assert (1, []) == (report.whole, report.failed)
    assert 0 == run.metadata.mirror_behind
    assert is_whole(engine.run_dir, tmp_path / "file" / "store")


def test_a_killed_writer_and_a_killed_copier_double_nothing(run_base: Path, store: Path) -> None:
    """Of the writer's successor, a second copier waits for nobody; a killed one is made good."""
    url = store.as_uri()
    engine = LoggingEngine(ExperimentConfig("exp", run_base, run_name="a", mirror=url))
    engine.log_vector({"loss": 0.5}, 0)
    engine.flush()
    (pid,) = wait_until(lambda: mirrors(engine.run_dir), "it has begun")
    wait_until(lambda: (Path(engine.run_dir) / MIRROR_LOCK).exists(), "it has its lock")
    os.kill(pid, signal.SIGKILL)
    engine.log_vector({"loss": 0.25}, 1)
    engine.close()
    run = expman.Run(engine.run_dir)
    assert run.metadata.mirror_behind > 0
    catalog.mirror(run_base, url)
    assert 0 == run.metadata.mirror_behind
    assert [0, 1] == expman.runs(url)[0].vectors(["_seq"])["_seq"].to_pylist()


@pytest.mark.parametrize(
    "url", ["bucket/prefix", "ftp://host/x", "s3://", "s3://key:secret@bucket/x"]
)
def test_what_is_not_the_url_of_a_store_is_refused(tmp_path: Path, url: str) -> None:
    """At the start, and a password is not repeated."""
    with pytest.raises(ConfigError) as caught:
        ExperimentConfig("exp", tmp_path, mirror=url)
    assert "secret" not in str(caught.value)
