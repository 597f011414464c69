"""Logging handlers are the user's: whatever they do, a writer that dies is replaced."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from process.faulty import Obeying, check_finished
from process.runs import wait_until, writer_of

ROWS = 40_000  # some three times what the buffer holds


@pytest.mark.parametrize("kind", ["forward", "block", "raise", "exit"])
def test_a_handler_does_not_hold_up_the_supervisor(
    program, run_base: Path, tmp_path: Path, kind: str
) -> None:
    """A warning goes to a bad handler while the buffer is full: the next writer comes all the same.

    A handler that forwards to `log_message` waits for the writer, as the log calls do.
    """
    fault, mark = tmp_path / "fault", tmp_path / "handled"
    env = {"EXPMAN_FAILPOINTS": f"tail-before-append=EIO:{fault}"}
    trainer = Obeying(program, run_base, "max_buffer_bytes=262144", env=env)
    run_dir = trainer.open()
    trainer("log 10")
    trainer("flush 120")
    trainer(f"handler {kind} {mark}")
    writer = writer_of(trainer.process.pid)
    fault.touch()
    trainer.send(f"log {ROWS}")
    wait_until(mark.exists, "the warning")
    os.kill(writer.pid, signal.SIGKILL)
    fault.unlink()
    answer = trainer.answer()
    assert (None, ROWS + 10) == (answer["error"], answer["logged"])
    trainer("close 120")
    assert 1 == check_finished(run_dir, ROWS + 10)["writer_restarts"]


WITH_BAD_HANDLER = """
import logging, sys
from expman import ExperimentConfig, LoggingEngine
class Bad(logging.Handler):
    def emit(self, record):
        raise RuntimeError("this handler is broken")
logging.getLogger().addHandler(Bad())
config = ExperimentConfig("faults", sys.argv[1], run_name="run", writer="shm:" + 32 * "0")
engine = LoggingEngine(config)
engine.log_vector({"n": 0, "half": 0.0}, 0)
engine.close()
"""


def test_a_handler_that_raises_breaks_no_call(program, run_base: Path) -> None:
    """A warning in the user's own thread, here of a shared writer that is gone, raises nothing."""
    program(["-c", WITH_BAD_HANDLER], run_base).succeed()
    check_finished(run_base / "faults" / "run", 1)
