"""A writer whose starter is gone before there is a lane ends, and leaves nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from process.runs import is_running, wait_until

from expman.transport import layout, places
from expman.transport.address import new_address
from expman.transport.liveness import mark_of

START = """
import os, signal, sys
from expman.interpreter import start_writer
from expman.transport.liveness import mark_of
writer = start_writer("serve", "--address", sys.argv[1], "--starter", mark_of(os.getpid()))
print(writer.pid, flush=True)
if sys.argv[2] == "serving":
    sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("when", ["starting", "serving"])
def test_writer_without_a_starter_ends(program, when: str) -> None:
    """Its starter is killed while it imports, or while it waits for the first lane."""
    address, base = new_address(4096)
    words = memoryview(base.map()).cast("Q")
    try:
        starter = program(["-c", START], address, when)
        writer_pid = int(starter.read_line())
        if when == "serving":
            wait_until(lambda: words[layout.WRITER_PID] == writer_pid, "the writer")
            starter.send_line()
        assert -signal.SIGKILL == starter.wait()
        wait_until(lambda: not is_running(writer_pid), "the end of the writer")
        assert not places.exists(address.place, address.segment())
    finally:
        base.unlink()
        base.close()


def test_mark_of_a_process(program) -> None:
    """It stays as long as the process runs, and is another's or none once it is a zombie."""
    sleeper = program(["-c", "input()"])
    mark = mark_of(sleeper.pid)
    assert mark.startswith(f"{sleeper.pid}:")
    assert mark == mark_of(sleeper.pid)
    assert mark_of(os.getpid()) != mark
    os.kill(sleeper.pid, signal.SIGKILL)
    wait_until(lambda: mark_of(sleeper.pid) == "", "the end of the process")


INTERRUPTED = """
import os, signal, sys, threading
from expman import ExperimentConfig, LoggingEngine
def stop(frame, event, argument):
    if event == "call" and frame.f_code.co_name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
sys.setprofile(stop)
threading.setprofile(stop)
LoggingEngine(ExperimentConfig("orphan", sys.argv[1], run_name="run"))
"""


@pytest.mark.parametrize("function", ["write_first_metadata", "claim_lane", "_begin"])
def test_trainer_killed_while_it_starts(program, run_base: Path, function: str) -> None:
    """No writer stays of a constructor that was killed: the session's end looks for them."""
    ended = program(["-c", INTERRUPTED], run_base, function)
    assert -signal.SIGKILL == ended.wait(), ended.stderr
