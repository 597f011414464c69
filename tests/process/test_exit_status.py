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
        ("exit-text", 1, "FAILED", "sys.exit(1)"),
        ("caught-exit", 0, "FINISHED", None),
        ("caught-exit-then-exception", 1, "FAILED", "ValueError: diverged"),
        ("exit-in-thread", 0, "FINISHED", None),
        ("exit-from-except", 1, "FAILED", "sys.exit(1)"),
        ("exit-past-handlers", 3, "FAILED", "sys.exit(3)"),
        ("exit-in-generator", 3, "FAILED", "sys.exit(3)"),
        ("caught-in-generator", 0, "FINISHED", None),
        ("caught-exit-then-exit-0", 0, "FINISHED", None),
        ("exit-builtin", 3, "FAILED", "sys.exit(3)"),
        ("quit-builtin", 3, "FAILED", "sys.exit(3)"),
        ("raise-exit", 3, "FAILED", "sys.exit(3)"),
        ("exit-negative", 255, "FAILED", "sys.exit(-1)"),
        ("kill-after-a-child", -9, "CRASHED", f"{CRASHED}, while its exit handlers ran"),
        ("os-exit", 0, "CRASHED", CRASHED),
        ("os-exit-at-exit", 3, "FAILED", "os._exit(3)"),
        ("os-exit-0-at-exit", 0, "FINISHED", None),
        ("os-exit-at-exit-later", 4, "FAILED", "sys.exit(4)"),
        ("kill-at-exit-later", -9, "CRASHED", f"{CRASHED}, while its exit handlers ran"),
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


@pytest.mark.parametrize(
    ("options", "code", "status", "reason"),
    [
        (["-c", "{code}"], 1, "FAILED", "ValueError: diverged (at <string>:"),
        (["-m", "diverge"], 1, "FAILED", "ValueError: diverged (at diverge.py:"),
        (["-m", "runpy", "diverge"], 1, "FAILED", "ValueError: diverged (at diverge.py:"),
        (["-m", "cProfile", "-o", "/dev/null", "diverge.py"], 1, "FAILED", "ValueError: diverged"),
        (["-i", "diverge.py"], 0, "FAILED", "ValueError: diverged (at diverge.py:"),
        (["-m", "pdb", "-c", "continue", "diverge.py"], 0, "FINISHED", None),
        (["-m", "code"], 0, "FINISHED", None),
        (["-i"], 0, "FINISHED", None),
    ],
)
def test_an_exception_in_main(
    program: StartProgram,
    run_base: Path,
    tmp_path: Path,
    options: list[str],
    code: int,
    status: str,
    reason: str | None,
) -> None:
    """It ends the program however that is started; in a shell it is a mistake that ends nothing."""
    (tmp_path / "diverge.py").write_text(DIVERGE)
    command = [option.format(code=DIVERGE) for option in options]
    ended = program(command, env={"BASE": str(run_base)})
    if options[-1] in ("code", "-i"):
        ended.send_line(DIVERGE)
    ended.close_stdin()
    assert code == ended.wait(), ended.stderr
    assert "ValueError: diverged" in ended.stdout + ended.stderr
    found = wait_for_status(run_base / "ends" / "run")
    assert status == found["status"], found
    assert (reason is None) == (found["reason"] is None)
    assert (reason or "") in (found["reason"] or "")


DIVERGE = """
import os
from expman import ExperimentConfig, LoggingEngine
engine = LoggingEngine(ExperimentConfig("ends", os.environ["BASE"], run_name="run"))
engine.log_vector({"a": 1.0}, 0)
raise ValueError("diverged")
"""

MUSL = """
def confstr(name):
    raise ValueError("unrecognized configuration name")
import os
os.confstr = confstr
"""
EMBEDDED = """
import sys
sys.orig_argv.clear()
"""
LOGS_A_ROW = """
import sys
from expman import ExperimentConfig, LoggingEngine
engine = LoggingEngine(ExperimentConfig("ends", sys.argv[1], run_name="run"))
engine.log_vector({"a": 1.0}, 0)
"""


@pytest.mark.parametrize("where", [MUSL, EMBEDDED])
@pytest.mark.parametrize(
    ("end", "code", "status", "reason"),
    [
        ("sys.exit(3)", 3, "FAILED", "sys.exit(3)"),
        ("sys.exit('no data')", 1, "FAILED", "sys.exit: no data"),
        ("sys.exit()", 0, "FINISHED", None),
        ("raise ValueError", 1, "FAILED", "ValueError (at <string>:"),
        ("raise SystemExit(3)", 3, "FINISHED", None),  # docs/reliability.md: nobody can see it
    ],
)
def test_a_c_library_without_on_exit(
    program: StartProgram,
    run_base: Path,
    where: str,
    end: str,
    code: int,
    status: str,
    reason: str | None,
) -> None:
    """Where libc does not hand out the exit status, what sys.exit() is given counts.

    So with musl, and in a program that embeds Python and may go on for long without it.
    """
    assert code == program(["-c", where + LOGS_A_ROW + end], run_base).wait()
    found = wait_for_status(run_base / "ends" / "run")
    assert status == found["status"]
    assert (reason is None) == (found["reason"] is None)
    assert (reason or "") in (found["reason"] or "")


CHILD = """
import multiprocessing, sys
def train(base, name, how):
    from expman import ExperimentConfig, LoggingEngine
    engine = LoggingEngine(ExperimentConfig("ends", base, run_name=name))
    engine.log_vector({"a": 1.0}, 0)
    if how == "raise":
        raise ValueError("diverged")
    if how == "exit":
        sys.exit(3)
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    ways = ("return", "raise", "exit")
    children = [context.Process(target=train, args=(sys.argv[1], way, way)) for way in ways]
    for child in children:
        child.start()
    for child in children:
        child.join()
    print([child.exitcode for child in children])
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_end_of_a_child_of_multiprocessing(
    program: StartProgram, run_base: Path, tmp_path: Path, method: str
) -> None:
    """Such a child runs no exit handlers; a run that it made and left open ends as it does."""
    (tmp_path / "children.py").write_text(CHILD)
    assert "[0, 1, 3]\n" == program([str(tmp_path / "children.py")], run_base, method).succeed()
    ends = [wait_for_status(run_base / "ends" / way) for way in ("return", "raise", "exit")]
    assert ["FINISHED", "FAILED", "FAILED"] == [end["status"] for end in ends]
    assert ends[0]["reason"] is None
    assert "ValueError: diverged (at children.py:" in ends[1]["reason"]
    assert "sys.exit(3)" == ends[2]["reason"]
