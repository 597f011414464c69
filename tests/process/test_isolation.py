"""Failures that nobody foresaw: they cost neither another run, nor the process, nor a record."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from process.faulty import Obeying, check_finished, check_more
from process.runs import wait_for_end, wait_until, writer_of

from expman import ExperimentConfig, FlushError, LoggingEngine

POINTS = [
    "tail-before-append",
    "log-before-append",
    "replace",
    "artifact-before-unstage",
    "request-after-keep",
    "commit-before-release",
]


@pytest.mark.parametrize("kind", ["RuntimeError", "MemoryError"])
def test_what_nobody_foresaw(program, run_base: Path, tmp_path: Path, kind: str):
    """Any exception at any point of writing: the same writer goes on, all is there once."""
    faults = ",".join(f"{point}={kind}:{tmp_path / point}" for point in POINTS)
    trainer = Obeying(program, run_base, env={"EXPMAN_FAILPOINTS": faults})
    run_dir = trainer.open()
    trainer("more 10")
    trainer("flush 120")
    reached = [10]
    writer = writer_of(trainer.process.pid)
    for point in POINTS:
        before = len(trainer("state")["warnings"])
        (tmp_path / point).touch()
        reached.append(trainer("more 10")["logged"])
        trainer.try_("flush 0.3")
        if point != "artifact-before-unstage":  # the copier's own: it costs the artifact
            wait_until(lambda n=before: len(trainer("state")["warnings"]) > n, f"words on {point}")
        (tmp_path / point).unlink()
        trainer.try_("flush 120")
    assert writer == writer_of(trainer.process.pid)
    trainer.try_("close 120")
    check_finished(run_dir, reached[-1])
    check_more(run_dir, reached)


def test_the_end_of_a_large_run_holds_up_no_other(program, run_base: Path, tmp_path: Path):
    """While the last rewrite of one run takes long, a run beside it is served."""
    held = tmp_path / "held"
    held.touch()
    faults = {"EXPMAN_FAILPOINTS": f"parquet-row-group=wait:{held}"}
    writer = program(["-m", "expman.writer"], env=faults)
    address = writer.read_line().partition("=")[2]
    try:
        large, other = (
            LoggingEngine(ExperimentConfig("e", str(run_base), run_name=name, writer=address))
            for name in ("large", "other")
        )
        large.log_vector({"a": 1}, 0)
        with pytest.raises(FlushError):
            large.close(timeout_s=0.5)
        for step in range(3):
            other.log_vector({"a": 1}, step)
            other.flush(30)
        held.unlink()
        other.close(timeout_s=120)
        assert 1 == wait_for_end(Path(large.run_dir))["rows_written"]
    finally:
        held.unlink(missing_ok=True)
        writer.send_signal(signal.SIGTERM)
        writer.wait()
