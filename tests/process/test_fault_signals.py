"""Signals to the whole group, or to every process of a job: the run ends with the truth."""

from __future__ import annotations

import os
import signal
import struct
import sys
from pathlib import Path

import pytest
from process.faulty import check_finished
from process.runs import is_running, read_rows, segments_of, wait_until, writer_of

TRUTH_S = 120.0
SCRIPT = Path(__file__).parents[1] / "programs" / "end_on_signal.py"


@pytest.mark.parametrize(
    ("number", "way", "to_writer", "status", "reason"),
    [
        (signal.SIGINT, "default", False, "FAILED", "KeyboardInterrupt"),
        (signal.SIGINT, "default", True, "FAILED", "KeyboardInterrupt"),
        (signal.SIGTERM, "default", False, "CRASHED", "ended without closing the run"),
        (signal.SIGTERM, "default", True, "CRASHED", "the writer got SIGTERM before"),
        (signal.SIGTERM, "handler", True, "FAILED", "sys.exit(143)"),
        (signal.SIGHUP, "default", True, "CRASHED", "ended without closing the run"),
        (signal.SIGHUP, "handler", False, "FAILED", "sys.exit(129)"),
        pytest.param(
            *(signal.SIGTERM, "slow", True, "FAILED", "sys.exit(7)"), marks=pytest.mark.soak
        ),
    ],
)
def test_signal(
    program, run_base: Path, tmp_path: Path, number, way, to_writer: bool, status: str, reason: str
) -> None:
    """All rows and the true status are there within 10 s of the trainer's end.

    The signal goes to the trainer's process group, as from a terminal, and in some cases to the
    writer, too, as from torchrun or scancel.
    """
    counter = tmp_path / "counter"
    counter.write_bytes(bytes(8))
    trainer = program([sys.executable, str(SCRIPT)], run_base, way, counter, python="setsid")
    run_dir = Path(trainer.read_line())
    writer = writer_of(trainer.pid)
    assert os.getpgid(trainer.pid) == trainer.pid != os.getpgid(writer.pid)
    os.killpg(trainer.pid, number)
    if to_writer:
        os.kill(writer.pid, number)
    trainer.wait()
    wait_until(lambda: not is_running(writer.pid), "the writer's end", TRUTH_S)
    (returned,) = struct.unpack("=Q", counter.read_bytes())
    wait_until(lambda: not segments_of(writer), "released memory", TRUTH_S)
    rows = read_rows(run_dir).num_rows
    assert returned <= rows <= returned + 1
    run = check_finished(run_dir, rows, status)
    assert reason in run["reason"]
    assert int(way == "slow") == run["writer_restarts"]
