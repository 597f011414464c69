"""Taking over a run: when the last attempt counts as dead, who may have the next one."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from expman import ExperimentConfig, FlushError, LoggingEngine, ResumeError, Run, StorageError
from expman.metadata import RunMetadata
from expman.models import RunStatus
from expman.storage.run_edits import Edit, ask, edit_run, take_edit, waits
from expman.storage.yamlfile import RunFile
from expman.transport import places
from expman.transport.identity import this_host
from expman.transport.recovery_lock import recovery_lock
from expman.writer import mirror_command
from expman.writer.stale import SILENT_S
from expman.writer.take_over import take_over
from expman.writer.whose import refuse_other_run

HERE = this_host(places.SHM)


@pytest.fixture
def run_dir(run_base: Path) -> Path:
    """A run of five rows that has ended."""
    with LoggingEngine(ExperimentConfig("e", str(run_base), run_name="r")) as engine:
        for step in range(5):
            engine.log_vector({"n": float(step)}, step)
    return run_base / "e/r"


def change(run_dir: Path, silent_s: float = 0.0, **changes: object) -> None:
    file = RunFile(str(run_dir))
    meta = msgspec.structs.replace(file.read(), **changes)
    file.write(meta)
    then = time.time() - silent_s
    os.utime(run_dir / "run.yaml", (then, then))


def go_on(run_dir: Path, wait_s: float = 0.0) -> int:
    return take_over(str(run_dir), os.getpid(), 3, wait_s)


def meta_of(run_dir: Path) -> RunMetadata:
    return Run(run_dir).metadata


def test_an_ended_run(run_dir: Path) -> None:
    """It is RUNNING again in its second attempt; rows from the step on are superseded."""
    assert 2 == go_on(run_dir)
    meta = meta_of(run_dir)
    assert (RunStatus.RUNNING, 2, 3, 2) == (
        meta.status,
        meta.attempt,
        meta.from_step,
        meta.rows_superseded,
    )
    assert ["FINISHED", "RUNNING"] == [attempt.status for attempt in meta.attempts]
    assert [0, 1, 2] == Run(run_dir).vectors(["step"])["step"].to_pylist()
    assert os.getpid() == meta.host.pid


def test_what_was_asked_of_the_attempt_before(run_dir: Path) -> None:
    """Too late for it: a sweep's wish to end it early does not end the next one, tags are kept."""
    ask(str(run_dir), Edit(pruned="pruned by the sweep s", tags=["mine"]))
    go_on(run_dir)
    assert (None, ["mine"]) == (meta_of(run_dir).pruned, meta_of(run_dir).tags)
    assert not waits(str(run_dir))


def test_another_host(run_dir: Path) -> None:
    """A run that was alive elsewhere just now is waited for; after long silence it is dead."""
    host = msgspec.structs.replace(HERE, hostname="other", machine_id="m", boot_id="b")
    change(run_dir, status=RunStatus.RUNNING, host=host)
    with pytest.raises(ResumeError, match="alive on other less than 180 s ago"):
        go_on(run_dir)
    assert 1 == meta_of(run_dir).attempt
    change(run_dir, SILENT_S + 20, status=RunStatus.RUNNING, host=host)
    assert 2 == go_on(run_dir)
    first, _ = meta_of(run_dir).attempts
    assert RunStatus.CRASHED == first.status
    assert "it ran on other" in (first.reason or "")


def test_a_machine_that_was_restarted(run_dir: Path) -> None:
    """Nothing of the last attempt can live: there is no need to wait."""
    change(run_dir, status=RunStatus.RUNNING, host=msgspec.structs.replace(HERE, boot_id="earlier"))
    assert 2 == go_on(run_dir)
    assert "the machine was restarted" in (meta_of(run_dir).attempts[0].reason or "")


def test_memory_that_is_gone(run_dir: Path) -> None:
    """A run of this host without a lane is dead, unless it has begun just now."""
    change(run_dir, status=RunStatus.RUNNING, host=HERE)
    with pytest.raises(ResumeError, match="it has begun just now"):
        go_on(run_dir)
    change(run_dir, 11.0, status=RunStatus.RUNNING, host=HERE)
    assert 2 == go_on(run_dir)


def test_a_number_that_another_host_has(run_dir: Path) -> None:
    """A fresh claim of another host counts, an old one does not."""
    claim = run_dir / ".attempt-2"
    claim.write_text(json.dumps({"host": "other", "pid": 1}))
    with pytest.raises(ResumeError, match="another process is taking it over"):
        go_on(run_dir)
    assert [0, 1, 2, 3, 4] == Run(run_dir).vectors(["step"])["step"].to_pylist()
    then = time.time() - SILENT_S - 1
    os.utime(claim, (then, then))
    assert 2 == go_on(run_dir)


def test_a_claim_of_a_killed_process(run_dir: Path) -> None:
    """One of this host was left behind: there is a lock besides."""
    (run_dir / ".attempt-2").write_text(json.dumps({"host": HERE.hostname, "pid": 1}))
    assert 2 == go_on(run_dir)


def test_an_earlier_attempt_comes_late(run_dir: Path, run_base: Path) -> None:
    """Its rows, in the memory of a host that seemed dead, are not mixed into a later attempt."""
    config = ExperimentConfig("e", str(run_base), run_name="late")
    engine = LoggingEngine(config)
    engine.log_vector({"n": 1.0}, 0)
    engine.flush()
    (run_base / "e/late/.attempt-2").write_text("{}")
    engine.log_vector({"n": 2.0}, 1)
    with pytest.raises(FlushError, match="attempt 2 of the run has begun"):
        engine.flush(2.0)
    (run_base / "e/late/.attempt-2").unlink()
    engine.close()
    assert [1.0, 2.0] == Run(run_base / "e/late").vectors(["n"])["n"].to_pylist()


def test_lanes_of_an_earlier_attempt(run_dir: Path, run_base: Path) -> None:
    """A writer that finds them opens no file of the run."""
    go_on(run_dir)
    engine = LoggingEngine(ExperimentConfig("e", str(run_base), run_name="other"))
    hello = msgspec.structs.replace(engine._lane.control.hello, run_name="r")
    engine.close()
    with pytest.raises(StorageError, match="takes no rows of attempt 1"):
        refuse_other_run(str(run_dir), hello)


def test_rows_without_a_step_stay(run_base: Path) -> None:
    """They are at no place of the line, so nothing supersedes them."""
    with LoggingEngine(ExperimentConfig("e", str(run_base), run_name="r")) as engine:
        engine.log_vector({"n": 1.0})
        engine.log_vector({"n": 2.0}, 7)
    run_dir = run_base / "e/r"
    go_on(run_dir)
    assert [None] == Run(run_dir).vectors(["step"])["step"].to_pylist()
    assert [7] == Run(run_dir).superseded()["step"].to_pylist()


def test_all_rows_are_superseded(run_base: Path) -> None:
    """A run that begins again at step 0 has an empty line, and numbers of rows go on."""
    config = ExperimentConfig("e", str(run_base), run_name="r", resume="allow", from_step=0)
    for attempt in range(3):
        with LoggingEngine(config) as engine:
            engine.log_vector({f"a{attempt}": 1.0}, 0)
    table = Run(run_base / "e/r").vectors(["step", "_seq", "_attempt"])
    assert [{"step": 0, "_seq": 2, "_attempt": 3}] == table.to_pylist()
    superseded = Run(run_base / "e/r").superseded()
    assert [1, 2] == superseded["_attempt"].to_pylist()
    assert [1.0, None] == superseded["a0"].to_pylist()
    assert {"a2"} == set(meta_of(run_base / "e/r").best)


def test_a_directory_that_was_made_just_now(run_base: Path) -> None:
    """Another process may be about to write run.yaml: it is not robbed of its run."""
    run_dir = run_base / "e/r"
    run_dir.mkdir(parents=True)
    with pytest.raises(ResumeError, match="it is being made just now"):
        go_on(run_dir)
    os.utime(run_dir, (0, 0))
    assert 2 == go_on(run_dir)


def test_an_edit_leaves_the_attempts_as_they_are(run_dir: Path) -> None:
    """Whoever describes a run of several attempts changes nothing else in run.yaml."""
    go_on(run_dir)
    change(run_dir, status=RunStatus.FINISHED)
    before = (run_dir / "run.yaml").read_text()
    edit_run(str(run_dir), Edit(description="d"), recovery_lock)
    after = (run_dir / "run.yaml").read_text()
    assert before.replace("description: null", "description: d") == after


def test_an_edit_beside_a_take_over(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither overwrites the other's run.yaml; the next attempt begins with the change."""
    monkeypatch.setattr("expman.transport.recovery_lock._PATIENCE_S", 0)
    edit = Edit(description="d")
    with recovery_lock(os.path.realpath(run_dir)) as is_held:
        assert is_held
        assert not edit_run(str(run_dir), edit, recovery_lock, wait_s=0)

    @contextlib.contextmanager
    def hold_too_late(path: str) -> Iterator[bool]:
        assert 2 == go_on(Path(path))
        yield True

    assert not edit_run(str(run_dir), edit, hold_too_late, wait_s=0)
    meta = meta_of(run_dir)
    assert (RunStatus.RUNNING, 2, "d") == (meta.status, meta.attempt, meta.description)
    assert take_edit(str(run_dir)) is None


def test_a_mirror_stays_with_a_run_that_goes_on(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that copies the end of an attempt goes on if the next one begins meanwhile."""
    copied: list[bool] = []

    def copy(_: str, store: object, *, is_final: bool) -> bool:
        copied.append(is_final)
        if len(copied) == 1:
            go_on(run_dir)
        elif len(copied) == 2:
            change(run_dir, status=RunStatus.FINISHED)
        return True

    monkeypatch.setattr(mirror_command, "_copy", copy)
    assert mirror_command.mirror_run(str(run_dir), (tmp_path / "store").as_uri())
    assert [True, False, True] == copied


def test_files_of_an_earlier_version(run_dir: Path, run_base: Path) -> None:
    """A run.yaml without attempts and a vectors.parquet of layout 1 are continued."""
    path = run_dir / "run.yaml"
    of_attempts = ("attempt", "from_step", "rows_superseded", "earlier_attempts")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(of_attempts)))
    table = pq.read_table(run_dir / "vectors.parquet")
    metadata = dict(table.schema.metadata) | {b"expman.layout": b"1"}
    with pq.ParquetWriter(run_dir / "vectors.parquet", table.schema, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({k.decode(): v.decode() for k, v in metadata.items()})
    config = ExperimentConfig("e", str(run_base), run_name="r", resume="must", from_step=4)
    with LoggingEngine(config) as engine:
        engine.log_vector({"n": 44.0}, 4)
    run = Run(run_dir)
    assert [0.0, 1.0, 2.0, 3.0, 44.0] == run.vectors(["n"])["n"].to_pylist()
    assert [4.0] == run.superseded()["n"].to_pylist()
    assert ["FINISHED", "FINISHED"] == [attempt.status for attempt in run.attempts]
    assert (6, 5, 1, 0) == (
        run.metadata.rows_logged,
        run.metadata.rows_written,
        run.metadata.rows_superseded,
        run.metadata.rows_missing,
    )
