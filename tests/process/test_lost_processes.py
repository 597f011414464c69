"""A run that finishes, one of whose processes did not: it is named, and nobody else is accused."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Program, StartProgram
from process.runs import KEEPS_EXIT_STATUS, only_run, run_yaml, wait_until

from expman import Run
from expman.models import PROCESS_ENDED
from expman.reading.peek import lanes_of
from expman.reading.postmortem import why

NOT_KNOWN = "its exit status is not known"
UNSHOWN = {"EXPMAN_FAILPOINTS": "exit-status=EIO"}  # as on an older kernel
METHODS = ["plain", "fork", "spawn", "attach"]
needs_exit_status = pytest.mark.skipif(not KEEPS_EXIT_STATUS, reason="needs Linux 6.15")


def start(program: StartProgram, base: Path, method: str, how: str, **env: str) -> Program:
    env = {"PYTHONFAULTHANDLER": "", **env}
    return program("lose_a_process.py", base, method, how, env=env)


def ended(
    program: StartProgram,
    base: Path,
    method: str,
    how: str,
    *,
    waits: bool = True,
    **env: str,
) -> tuple[Run, str]:
    """The run once it has ended, and who the lost process was: its name and id.

    Args:
        program: starts it.
        base: the base directory.
        method: how the process is made.
        how: how it ends.
        waits: the run goes on until the writer has seen the end.
        env: more variables.
    """
    trainer = start(program, base, method, how, **env)
    run_dir, pid = Path(trainer.read_line()), trainer.read_line()
    if waits:
        wait_until(lambda: len(lanes_of(str(run_dir))) == 1, "the writer has seen the end")
    trainer.send_line()
    trainer.succeed()
    wait_until(lambda: run_yaml(run_dir)["status"] == "FINISHED", "the end of the run")
    name = "rank-2" if method == "attach" else "worker-0"
    return Run(run_dir), f"{name} (pid {pid} on "


@needs_exit_status
@pytest.mark.parametrize(
    ("method", "how"),
    [*((method, "SIGKILL") for method in METHODS), ("fork", "SIGSEGV"), ("attach", "SIGSEGV")],
)
def test_a_process_that_is_killed(
    program: StartProgram, run_base: Path, method: str, how: str
) -> None:
    """It is named with its id, the signal and its last row; the run itself is FINISHED."""
    run, who = ended(program, run_base, method, how)
    told = why(run)
    name = who.partition(" ")[0]
    assert told.startswith(f"# lose/run: FINISHED, but {name} was killed by {how}\n")
    (line,) = [line for line in told.split("\n") if "was killed by" in line and "UTC" in line]
    assert who in line
    assert f") was killed by {how}; it had logged 5 rows, the last one with step 4" in line
    assert "(run.log)" in line
    assert (method == "attach") == (", rank 2) was" in line)
    assert "- the run itself went on and finished (run.yaml)" in told
    assert 1 == run.metadata.processes_lost
    fault = [line for line in told.split("\n") if "died of a fault: Segmentation" in line]
    assert (how == "SIGSEGV") == bool(fault)
    assert all(line.startswith(f"- {who}") for line in fault)
    assert how != "SIGSEGV" or "lose_a_process.py" in fault[0]


@pytest.mark.parametrize("env", [{}, UNSHOWN], ids=["shown", "unshown"])
@pytest.mark.parametrize(
    ("method", "how"), [("fork", "os._exit"), *((method, "end") for method in METHODS)]
)
def test_a_process_that_ends_by_itself(
    program: StartProgram, run_base: Path, method: str, how: str, env: dict[str, str]
) -> None:
    """Nothing went wrong, whether the system shows exit statuses or not."""
    run, _ = ended(program, run_base, method, how, **env)
    assert "# lose/run: FINISHED\n\nNothing went wrong.\n" == why(run)
    assert 0 == run.metadata.processes_lost
    assert [] == [one for one in run.log() if one.message.startswith(PROCESS_ENDED)]


@needs_exit_status
@pytest.mark.parametrize(("method", "is_reported"), [("fork", False), ("attach", True)])
def test_sigterm(program: StartProgram, run_base: Path, method: str, *, is_reported: bool) -> None:
    """Pools end their workers that way, and nobody ends a rank so."""
    run, _ = ended(program, run_base, method, "SIGTERM")
    assert is_reported == ("rank-2 was killed by SIGTERM" in why(run))
    assert int(is_reported) == run.metadata.processes_lost


@pytest.mark.parametrize("method", ["plain", "attach"])
def test_an_end_that_nobody_shows(program: StartProgram, run_base: Path, method: str) -> None:
    """It is said what is known, and no more."""
    run, who = ended(program, run_base, method, "SIGKILL", **UNSHOWN)
    told = why(run)
    assert told.startswith(f"# lose/run: FINISHED, but {who.partition(' ')[0]} is gone\n")
    assert f"is gone: its lane was never closed, and {NOT_KNOWN} (most likely a signal" in told
    assert "was killed by" not in told


@needs_exit_status
def test_as_the_run_ends(program: StartProgram, run_base: Path) -> None:
    """The run may end before the writer has looked who lives; it looks once more then."""
    run, _ = ended(program, run_base, "fork", "SIGKILL", waits=False)
    assert why(run).startswith("# lose/run: FINISHED, but worker-0 was killed by SIGKILL\n")


def test_a_rank_that_raises_in_a_with_block(program: StartProgram, run_base: Path) -> None:
    """It has closed its part itself, as FAILED, and is named with its exception all the same."""
    run, who = ended(program, run_base, "attach", "with")
    told = why(run)
    assert told.startswith("# lose/run: FINISHED, but rank-2 ended as FAILED\n")
    assert who in told
    assert "; it raised KeyError: 'img_17' (run.log)" in told
    assert run.postmortem is not None
    assert run.postmortem.traceback is None


@pytest.mark.parametrize("method", ["fork", "spawn", "attach"])
def test_a_process_that_raises(program: StartProgram, run_base: Path, method: str) -> None:
    """Its exception is in run.log with its traceback, and in the post-mortem in a word."""
    run, who = ended(program, run_base, method, "raise")
    told = why(run)
    assert "ended with exit status 1; it had logged 5 rows" in told
    assert "; it raised KeyError: 'img_17' (run.log)" in told
    pid = who.split()[2]
    (message,) = [one.message for one in run.log() if "Traceback" in one.message]
    assert message.startswith(f"an exception ended process {pid}:\nTraceback")
    assert run.postmortem is not None
    assert run.postmortem.traceback is None  # that would be the run's


@needs_exit_status
def test_an_exit_status(program: StartProgram, run_base: Path) -> None:
    """sys.exit(3) of another program is known by the system alone."""
    run, _ = ended(program, run_base, "attach", "exit")
    assert why(run).startswith("# lose/run: FINISHED, but rank-2 ended with exit status 3\n")


@needs_exit_status
def test_while_the_run_goes_on(program: StartProgram, run_base: Path) -> None:
    """`expman why` of a live run names the process, too."""
    trainer = start(program, run_base, "fork", "SIGKILL")
    run, pid = Run(trainer.read_line()), trainer.read_line()
    wait_until(lambda: run.metadata.processes_lost, "the report")
    told = program(["-m", "expman.cli", "why", run.path]).succeed()
    assert told.startswith("# lose/run: RUNNING, but worker-0 was killed by SIGKILL\n")
    assert f"worker-0 (pid {pid} on " in told
    trainer.send_line()
    trainer.succeed()
    assert 1 == Run(only_run(run_base)).metadata.processes_lost
