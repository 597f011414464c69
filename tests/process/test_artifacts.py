"""Artifacts while they are copied: they hold up nobody, and survive whoever dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from process.faulty import Obeying, check_finished
from process.runs import (
    is_running,
    kill_writers,
    segments_of,
    wait_for_end,
    wait_until,
    writer_of,
)

from expman import ExperimentConfig, FlushError, LoggingEngine

MIDDLE = "artifact-half-copied"


def test_a_copy_holds_up_nobody(program, run_base: Path, tmp_path: Path):
    """Neither the rows of its own run, whose memory is given back, nor a run beside it."""
    held = tmp_path / "held"
    held.touch()
    writer = program(["-m", "expman.writer"], env={"EXPMAN_FAILPOINTS": f"{MIDDLE}=wait:{held}"})
    address = writer.read_line().partition("=")[2]
    source = tmp_path / "checkpoint"
    source.write_bytes(b"weights")
    try:
        copying, other = (
            LoggingEngine(
                ExperimentConfig(
                    "e", str(run_base), run_name=name, writer=address, max_buffer_bytes=1 << 17
                )
            )
            for name in ("copying", "other")
        )
        copying.save_artifact(source, "checkpoint")
        source.unlink()
        with pytest.raises(FlushError, match="not everything is durable"):
            copying.flush(0.5)
        for step in range(20_000):  # far more than the buffer holds
            copying.log_vector({"a": step, "b": 0.5}, step)
        copying.log_params({"lr": 0.1})
        other.log_vector({"a": 1}, 0)
        other.flush(30)
        other.close(timeout_s=120)
        config = Path(copying.run_dir, "config.yaml")
        wait_until(config.exists, "the parameters of the run that copies")
        stored = Path(copying.run_dir, "artifacts", "checkpoint")
        assert not stored.exists()
        held.unlink()
        copying.flush(30)
        assert b"weights" == stored.read_bytes()
        copying.close(timeout_s=120)
        assert 20_000 == wait_for_end(Path(copying.run_dir))["rows_written"]
    finally:
        held.unlink(missing_ok=True)
        writer.send_signal(signal.SIGTERM)
        writer.wait()


def test_close_waits_for_a_copy(program, run_base: Path, tmp_path: Path):
    """It gives up at its timeout; the writer goes on, and the run ends as it was told."""
    held = tmp_path / "held"
    held.touch()
    trainer = Obeying(program, run_base, env={"EXPMAN_FAILPOINTS": f"{MIDDLE}=wait:{held}"})
    run_dir = trainer.open()
    trainer("more 10")
    assert "not everything is durable" in trainer.try_("close 0.5")["error"]
    held.unlink()
    check_finished(run_dir, 10)
    assert "10" == (run_dir / "artifacts/a10").read_text()


@pytest.mark.parametrize("memory", ["there", "lost"])
def test_both_killed_while_copying(program, run_base: Path, tmp_path: Path, memory: str):
    """The request is in a file: `recover` stores the artifact, with or without shared memory."""
    held = tmp_path / "held"
    held.touch()
    trainer = Obeying(program, run_base, env={"EXPMAN_FAILPOINTS": f"{MIDDLE}=wait:{held}"})
    run_dir = trainer.open()
    trainer("more 10")
    requests = run_dir / ".artifacts-staging"
    wait_until(lambda: list(requests.glob("*.request")), "the request")
    writer = writer_of(trainer.process.pid)
    os.kill(trainer.process.pid, signal.SIGKILL)
    kill_writers(writer.token, writer.pid)
    wait_until(lambda: not is_running(writer.pid), "the writer's end")
    if memory == "lost":
        for name in segments_of(writer):
            os.unlink(f"/dev/shm/{name}")
        os.utime(run_dir / "run.yaml", (10**9, 10**9))  # it may have just begun otherwise
    program(["-m", "expman.writer"], "recover", run_base).succeed()
    assert "CRASHED" == wait_for_end(run_dir)["status"]
    assert "10" == (run_dir / "artifacts/a10").read_text()
    assert not requests.exists()


def test_a_copy_on_a_full_disk_holds_up_artifacts_only(program, run_base: Path, tmp_path: Path):
    """Rows, lines and parameters go on; once there is room, the artifact is stored."""
    full = tmp_path / "full"
    full.touch()
    faults = f"artifact-before-rename=ENOSPC:{full}"
    env = {"EXPMAN_FAILPOINTS": faults}
    trainer = Obeying(program, run_base, "max_buffer_bytes=131072", env=env)
    run_dir = trainer.open()
    trainer("more 10")
    trainer("log 20000")
    wait_until(lambda: trainer("state")["warnings"], "a warning")
    wait_until(lambda: (run_dir / "config.yaml").exists(), "the parameters")
    assert "No space left" in trainer.try_("flush 0.5")["error"]
    full.unlink()
    trainer("close 120")
    check_finished(run_dir, 20_010)
    assert "10" == (run_dir / "artifacts/a10").read_text()
