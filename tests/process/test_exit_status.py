"""How a program ends is the status of its run, with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import StartProgram
from run_files import rows, wait_for_status

CRASHED = "the owner process (pid {pid}) ended without closing the run"


@pytest.mark.parametrize(
    ("how", "code", "status", "reason"),
    [
        ("end", 0, "FINISHED", None),
        ("exception", 1, "FAILED", "ValueError: diverged (at end_somehow.py:"),
        ("interrupt", -2, "FAILED", "KeyboardInterrupt (at end_somehow.py:"),
        ("exit-3", 3, "FAILED", "sys.exit(3)"),
        ("exit-0", 0, "FINISHED", None),
        ("exit-text", 1, "FAILED", "sys.exit: no data"),
        ("caught-exit", 0, "FINISHED", None),
        ("caught-exit-then-exception", 1, "FAILED", "ValueError: diverged"),
        ("exit-in-thread", 0, "FINISHED", None),
        ("exit-from-except", 1, "FAILED", "sys.exit: gave up"),
        ("exit-past-handlers", 3, "FAILED", "sys.exit(3)"),
        ("exit-in-generator", 3, "FAILED", "sys.exit(3)"),
        ("caught-in-generator", 0, "FINISHED", None),
        ("caught-exit-then-exit-0", 0, "FINISHED", None),
        ("os-exit", 0, "CRASHED", CRASHED),
        ("sigkill", -9, "CRASHED", CRASHED),
        ("sigterm", -15, "CRASHED", CRASHED),
    ],
)
def test_the_end_is_the_status(
    program: StartProgram, run_base: Path, how: str, code: int, status: str, reason: str | None
) -> None:
    """Nobody closed the run, its status is true all the same, and its row is in the file."""
    ended = program("end_somehow.py", run_base, how)
    assert code == ended.wait()
    run_dir = run_base / "ends" / "run"
    found = wait_for_status(run_dir)
    assert status == found["status"], ended.stderr
    if reason is None:
        assert found["reason"] is None
    else:
        assert reason.format(pid=ended.pid) in found["reason"]
    assert [(0, {"a": 1.0})] == rows(run_dir)


def test_an_exit_handler_may_still_log(program: StartProgram, run_base: Path) -> None:
    """Handlers registered after the engine was made run before it is closed."""
    program("end_somehow.py", run_base, "log-at-exit").succeed()
    run_dir = run_base / "ends" / "run"
    assert "FINISHED" == wait_for_status(run_dir)["status"]
    assert [(0, {"a": 1.0}), (1, {"a": 2.0})] == rows(run_dir)


def test_an_exit_is_not_taken_for_caught_by_a_finally_clause(
    program: StartProgram, run_base: Path
) -> None:
    """Another sys.exit, caught on the way out, does not hide the one that ends the program."""
    assert 3 == program("end_somehow.py", run_base, "exit-through-finally").wait()
    found = wait_for_status(run_base / "ends" / "run")
    assert ("FAILED", "sys.exit(3)") == (found["status"], found["reason"])
