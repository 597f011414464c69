"""Failures that nobody foresaw: they cost neither another run, nor the process, nor a record."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from process.faulty import Obeying, check_finished, check_more
from process.runs import wait_for_end, wait_until, writer_of

from expman import ExperimentConfig, FlushError, LoggingEngine, Run

POINTS = [
    "tail-before-append",
    "log-before-append",
    "replace",
    "artifact-before-unstage",
    "request-after-keep",
    "commit-before-release",
]
SIDE = 300
ROWS = 20_000


def log_pictures(engine: LoggingEngine) -> None:
    """Two pictures through spools, two texts through the lane, and rows behind them."""
    for value in (1, 2):
        picture = memoryview(bytes([value]) * SIDE**2).cast("B", (SIDE, SIDE))
        engine.log_image("picture", picture, value)
        engine.log_text("text", "words", value)
    for step in range(ROWS):
        engine.log_vector({"n": step}, step)


def are_written(run_dir: str) -> bool:
    """Whether the rows of `log_pictures` are in files."""
    return Run(run_dir).vectors().num_rows == ROWS


def check_pictures(run_dir: str) -> None:
    """All that `log_pictures` logs is there once."""
    run = Run(run_dir)
    assert "FINISHED" == wait_for_end(Path(run_dir))["status"]
    assert list(range(ROWS)) == run.vectors().column("n").to_pylist()
    kept = [("picture", 1), ("picture", 2), ("text", 1), ("text", 2)]
    assert kept == sorted((item.tag, item.step) for item in run.media())


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


def test_pictures_on_a_slow_disk_hold_up_no_other(program, run_base: Path, tmp_path: Path):
    """While the data of one run's pictures is being written, rows of it and of others are, too."""
    held = tmp_path / "held"
    held.touch()
    faults = {"EXPMAN_FAILPOINTS": f"request-after-data=wait:{held}"}
    writer = program(["-m", "expman.writer"], env=faults)
    address = writer.read_line().partition("=")[2]
    try:
        slow, other = (
            LoggingEngine(
                ExperimentConfig(
                    "e", str(run_base), run_name=name, writer=address, max_buffer_bytes=1 << 20
                )
            )
            for name in ("slow", "other")
        )
        log_pictures(slow)
        for step in range(3):
            other.log_vector({"a": 1}, step)
            other.flush(30)
        wait_until(lambda: are_written(slow.run_dir), "the rows beside the pictures")
        with pytest.raises(FlushError):
            slow.flush(0.5)
        other.close(timeout_s=120)
        held.unlink()
        slow.close(timeout_s=120)
        check_pictures(slow.run_dir)
        assert 3 == wait_for_end(Path(other.run_dir))["rows_written"]
    finally:
        held.unlink(missing_ok=True)
        writer.send_signal(signal.SIGTERM)
        writer.wait()


def test_killed_while_pictures_wait_for_a_slow_disk(
    run_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows behind the pictures are in files by then: the successor takes them for what they are."""
    held = tmp_path / "held"
    held.touch()
    monkeypatch.setenv("EXPMAN_FAILPOINTS", f"request-after-data=wait:{held}")
    engine = LoggingEngine(
        ExperimentConfig("e", str(run_base), run_name="r", max_buffer_bytes=1 << 20)
    )
    log_pictures(engine)
    wait_until(lambda: are_written(engine.run_dir), "the rows beside the pictures")
    os.kill(writer_of(os.getpid()).pid, signal.SIGKILL)
    held.unlink()
    engine.close(timeout_s=120)
    check_pictures(engine.run_dir)
