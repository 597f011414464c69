"""A trainer that stands still is noticed, its stacks are recorded, and nobody is hurt by that."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from conftest import Program, StartProgram
from process.runs import KEEPS_EXIT_STATUS, kill_writers, run_yaml, wait_until, writer_of

from expman import Run
from expman.reading.postmortem import why
from expman.storage.stacks import ask_for_stacks
from expman.writer.recover import recover


def start(program: StartProgram, base: Path, how: str, **env: str) -> tuple[Program, Path]:
    # A program that has faulthandler write to stderr keeps that.
    env = {"PYTHONFAULTHANDLER": "", **env}
    trainer = program("hang_somehow.py", base, how, env=env)
    return trainer, Path(trainer.read_line())


def log_of(run_dir: Path) -> str:
    path = run_dir / "run.log"
    return path.read_text() if path.exists() else ""


def stacks_of(run_dir: Path) -> str:
    """All stacks that were recorded, once the log names them."""
    wait_until(lambda: "stacks" in log_of(run_dir), "the stacks")
    return "\n".join(path.read_text() for path in sorted((run_dir / "stacks").iterdir()))


@pytest.mark.parametrize(
    ("how", "place"),
    [("deadlock", "lock.acquire()"), ("sleep", "sys.stdin.readline()"), ("gil", "re.match(")],
)
def test_a_trainer_that_stands_still(
    program: StartProgram, run_base: Path, how: str, place: str
) -> None:
    """Its stacks show the line, also while C code holds the GIL; run.yaml says since when."""
    trainer, run_dir = start(program, run_base, how)
    recorded = stacks_of(run_dir)

    source = Path(trainer.command[1]).read_text().split("\n")
    lines = {number + 1 for number, line in enumerate(source) if place in line}
    assert any(f'hang_somehow.py", line {line} in <module>' in recorded for line in lines)
    assert "no rows for long: main has logged 10, the last one with step 9" in log_of(run_dir)
    wait_until(lambda: run_yaml(run_dir).get("stalled_since"), "the time in run.yaml")
    told = why(Run(run_dir))
    assert told.startswith("# hang/run: RUNNING, no rows come\n")
    assert "rows have been missing since" in told
    assert f"pid {trainer.pid} stood in File " in told
    assert trainer.running()
    trainer.kill()


def test_rows_that_come_again(program: StartProgram, run_base: Path) -> None:
    """The run is no longer stalled, and its post-mortem says that it was."""
    trainer, run_dir = start(program, run_base, "sleep")
    stacks_of(run_dir)
    trainer.send_line()
    wait_until(lambda: "rows come again" in log_of(run_dir), "the rows")
    trainer.send_line()
    trainer.succeed()
    wait_until(lambda: run_yaml(run_dir)["status"] == "FINISHED", "the end")

    assert run_yaml(run_dir)["stalled_since"] is None
    found = Run(run_dir).postmortem
    assert found is not None
    assert "the run stood still for a time, and went on" in [fact.text for fact in found.facts]
    heading = "# hang/run: FINISHED, though the run stood still for a time\n"
    assert why(Run(run_dir)).startswith(heading)
    assert not (run_dir / ".stacks").exists()


def test_a_worker_that_stands_still(program: StartProgram, run_base: Path) -> None:
    """The owner goes on. The worker is named, and it alone is asked."""
    trainer, run_dir = start(program, run_base, "worker")
    recorded = stacks_of(run_dir)

    assert "no rows for long: worker-0 is behind: last row at step 9, " in log_of(run_dir)
    assert ", the others at" in log_of(run_dir)
    assert "in stand_still" in recorded
    assert 1 == len(list((run_dir / "stacks").iterdir()))
    trainer.kill()


def test_one_rank_of_four_that_lags(program: StartProgram, run_base: Path) -> None:
    """It is named with its step and those of the others, its stacks alone are recorded."""
    trainer, run_dir = start(program, run_base, "rank", RANK="0", WORLD_SIZE="4")
    recorded = stacks_of(run_dir)

    text = r"rank 2 is behind: last row at step 12, \d+ s ago, the others at [\d,]+( to [\d,]+)?"
    found = re.search(f"no rows for long: ({text})", log_of(run_dir))
    assert found is not None, log_of(run_dir)
    assert "in stand_still" in recorded
    assert 1 == len(list((run_dir / "stacks").iterdir()))
    wait_until(lambda: run_yaml(run_dir).get("stalled"), "the sentence in run.yaml")
    assert [found[1]] == run_yaml(run_dir)["stalled"]
    told = why(Run(run_dir))
    assert told.startswith("# hang/run: RUNNING, rank 2 behind\n")
    assert found[1] in told
    assert "rank-2 has logged 13 rows, the last one with step 12 came" in told
    assert "in stand_still (stacks/" in told
    shown = program(["-m", "expman.cli", "show", str(run_dir)]).succeed()
    assert "rank 2 is behind: last row at step 12" in shown
    trainer.kill()
    wait_until(lambda: Run(run_dir).postmortem, "the post-mortem")
    assert any(found[1] in fact.text for fact in Run(run_dir).postmortem.facts)
    assert "while rank 2 stood still\n" in why(Run(run_dir))


def test_a_program_that_was_execed_is_not_killed(program: StartProgram, run_base: Path) -> None:
    """It has no handler for the signal, which would end it."""
    trainer, run_dir = start(program, run_base, "exec")
    wait_until(lambda: run_yaml(run_dir)["status"] == "CRASHED", "the end of the run")

    assert [] == [one.text for one in ask_for_stacks(str(run_dir)) if one.text]
    assert trainer.running()
    trainer.kill()


def test_a_closed_descriptor_is_not_written_to(program: StartProgram, run_base: Path) -> None:
    """A program that closes what it does not know keeps its own file as it is."""
    trainer, run_dir = start(program, run_base, "closed")
    wait_until(lambda: "has no stacks" in log_of(run_dir), "the report")

    assert "it has closed the file that its stacks go to" in log_of(run_dir)
    assert b"" == (run_base / "own").read_bytes()
    trainer.kill()


UNKNOWN = "it was killed by a signal such as SIGKILL or SIGTERM"
BY_SIGTERM = "killed by SIGTERM" if KEEPS_EXIT_STATUS else UNKNOWN
BY_SIGKILL = "killed by SIGKILL" if KEEPS_EXIT_STATUS else UNKNOWN


@pytest.mark.parametrize(
    ("how", "status", "fact"),
    [
        ("raise", "FAILED", "an exception was raised: ValueError: the loss is not a number"),
        ("SIGSEGV", "CRASHED", "died of a fault: Segmentation fault"),
        ("SIGBUS", "CRASHED", "died of a fault: Bus error"),
        ("sigterm", "CRASHED", BY_SIGTERM),
        ("exit", "FAILED", "sys.exit(3)"),
        ("kill", "CRASHED", BY_SIGKILL),
        ("nan", "FAILED", "loss has been NaN or infinite since step 5"),
    ],
)
def test_a_post_mortem(
    program: StartProgram, run_base: Path, how: str, status: str, fact: str
) -> None:
    """It says how the run ended, what came last, and where each fact is from."""
    trainer, run_dir = start(program, run_base, how)
    trainer.wait()
    wait_until(lambda: (run_dir / "postmortem.md").exists(), "the post-mortem")
    wait_until(lambda: run_yaml(run_dir)["status"] == status, "the status")

    found = Run(run_dir).postmortem
    assert found is not None
    assert status == found.status
    assert any(fact in one.text for one in found.facts), found.facts
    assert all((run_dir / one.source).exists() for one in found.facts if one.source != "stacks")
    assert int(how in ("raise", "nan")) == sum("ValueError" in one.text for one in found.facts)
    assert [("main", 10, 9)] == [(row.producer, row.rows, row.step) for row in found.last_rows]
    assert "[err] in the console" in found.console
    assert ("ValueError" in (found.traceback or "")) == (how in ("raise", "nan"))
    assert ("in string_at" in (found.fatal_traceback or "")) == (how == "SIGSEGV")
    text = (run_dir / "postmortem.md").read_text()
    assert text == why(Run(run_dir))
    assert fact in text
    assert text.startswith(f"# hang/run: {status}, ")
    assert len(text.split("\n")) < 50
    assert "Extension modules" not in text
    assert how not in ("raise", "nan") or 1 == text.count("Traceback (most recent call last)")


def test_an_exit_status_that_is_not_known(program: StartProgram, run_base: Path) -> None:
    """Nothing is guessed: an older kernel does not show it, nor does a parent that is quick."""
    env = {"EXPMAN_FAILPOINTS": "exit-status=EIO"}
    trainer, run_dir = start(program, run_base, "kill", **env)
    trainer.wait()
    wait_until(lambda: run_yaml(run_dir)["status"] == "CRASHED", "the status")
    told = why(Run(run_dir))
    assert told.startswith("# hang/run: CRASHED, by a signal or with its machine\n")
    assert UNKNOWN in told
    assert "killed by SIGKILL" not in told


def test_exec_is_no_signal(program: StartProgram, run_base: Path) -> None:
    """The process lives on as another program, and is not said to be killed."""
    trainer, run_dir = start(program, run_base, "exec")
    wait_until(lambda: run_yaml(run_dir)["status"] == "CRASHED", "the end of the run")
    told = why(Run(run_dir))
    assert told.startswith("# hang/run: CRASHED, it runs on as another program\n")
    assert UNKNOWN not in told
    trainer.kill()


def test_a_live_run_whose_processes_are_gone(program: StartProgram, run_base: Path) -> None:
    """It is RUNNING in its files, and nobody will ever say that it has ended."""
    trainer, run_dir = start(program, run_base, "sleep")
    writer = writer_of(trainer.pid)
    os.kill(writer.pid, signal.SIGSTOP)
    assert "no longer runs here" not in why(Run(run_dir))
    trainer.kill()
    told = why(Run(run_dir))
    assert told.startswith("# hang/run: RUNNING, but its process is gone\n")
    assert f"(pid {trainer.pid}) no longer runs here; `expman recover` finishes it" in told
    assert "main has logged 10 rows, the last one with step 9 came" in told
    os.kill(writer.pid, signal.SIGCONT)
    wait_until(lambda: run_yaml(run_dir)["status"] == "CRASHED", "the end of the run")


def test_both_killed(program: StartProgram, run_base: Path) -> None:
    """`recover` finds the same."""
    trainer, run_dir = start(program, run_base, "sleep")
    writer = writer_of(trainer.pid)
    os.kill(writer.pid, signal.SIGSTOP)  # or it would find out that the trainer is gone
    trainer.kill()
    kill_writers(writer.token, writer.pid)
    assert all(outcome.ok for outcome in recover(str(run_base)))

    found = Run(run_dir).postmortem
    assert found is not None
    assert "CRASHED" == found.status
    assert [("main", 10, 9)] == [(row.producer, row.rows, row.step) for row in found.last_rows]
    assert not (run_dir / ".stacks").exists()
