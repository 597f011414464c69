"""What a run prints at its start and end, and that printing never holds up or ends a program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import StartProgram
from run_files import run_yaml

import expman
from expman import Experiment, ExperimentConfig, LoggingEngine, Run
from expman.reading.formats import format_facts

SPEAKS = {"EXPMAN_QUIET": "0"}
LOGS = """
import sys
import time
import expman
run = expman.init("exp", "r", sys.argv[1])
for step in range(1234):
    run.log({"a": step}, step=step)
    if step % 100 == 50:  # run.yaml is written in between
        time.sleep(0.1)
"""
DEADLINE_S = 120


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("expman: ")]


def test_at_the_start_and_at_the_end(run_base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The directory first; status, rows, time and a command at the end; nothing on stdout."""
    run = expman.init("exp", base_dir=run_base)
    out, err = capsys.readouterr()
    assert ("", f"expman: recording to {run.run_dir}\n") == (out, err)
    run.log({"a": 1})
    run.close("failed")
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("expman: FAILED after ")
    assert line.endswith(f" s, 1 row; look with: expman why {run.run_dir}")
    run.close()
    assert "" == capsys.readouterr().err


def test_rows_that_are_superseded(run_base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rows of the run as it is now; the others beside them, as `expman show` has them."""
    settings = {"base_dir": run_base, "resume": "allow"}
    for first, steps in ((None, range(12)), (10, range(10, 20))):
        with Experiment("exp", "r", from_step=first, **settings) as run:
            for step in steps:
                run.log({"a": step}, step)
    last = capsys.readouterr().err.splitlines()[-1]
    assert " s, 20 rows, 2 superseded; look with: " in last
    details = Run(run.run_dir)._details(max_curves=0)
    assert ("rows", "20, 2 superseded") in format_facts(details)
    assert 20 == Run(run.run_dir).vectors().num_rows


@pytest.mark.parametrize("how", ["engine", "argument", "variable", "rank"])
def test_quiet(
    how: str, run_base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A LoggingEngine, quiet=True, EXPMAN_QUIET=1 and a rank above 0: not a word."""
    if how == "engine":
        with LoggingEngine(ExperimentConfig("exp", str(run_base))):
            pass
    elif how == "argument":
        with Experiment("exp", base_dir=run_base, quiet=True):
            pass
    elif how == "variable":
        monkeypatch.setenv("EXPMAN_QUIET", "1")
        with Experiment("exp", base_dir=run_base):
            pass
    else:
        with Experiment("exp", base_dir=run_base, rank=1):
            pass
    assert ("", "") == capsys.readouterr()


def test_an_engine_may_speak(run_base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """quiet=False makes it."""
    with LoggingEngine(ExperimentConfig("exp", str(run_base), quiet=False)):
        pass
    assert 2 == len(lines(capsys.readouterr().err))


def test_a_program_that_just_ends(program: StartProgram, run_base: Path) -> None:
    """The exit status decides on the status: the line has the rows."""
    one = program(["-c", LOGS], run_base, env=SPEAKS)
    one.succeed()
    first, last = lines(one.stderr)
    assert f"expman: recording to {run_base / 'exp' / 'r'}" == first
    assert last.startswith("expman: the program ended after ")
    assert " s, 1,234 rows; look with: " in last
    assert "FINISHED" == run_yaml(run_base / "exp" / "r")["status"]


@pytest.mark.parametrize("how", ["full", "closed", "none", "unread"])
def test_a_stream_that_cannot_take_it(how: str, run_base: Path) -> None:
    """A full pipe, a closed descriptor, no stderr, a pipe without a reader: the run goes on."""
    code = {"closed": "import os; os.close(2)\n", "none": "import sys; sys.stderr = None\n"}
    reading, writing = os.pipe()
    try:
        if how == "full":
            os.set_blocking(writing, False)
            while True:
                try:
                    os.write(writing, b"x" * 4096)
                except BlockingIOError:
                    break
            os.set_blocking(writing, True)
        if how == "unread":
            os.close(reading)
        subprocess.run(
            [sys.executable, "-c", code.get(how, "") + LOGS, str(run_base)],
            env={**os.environ, **SPEAKS},
            stderr=writing,
            timeout=DEADLINE_S,
            check=True,
        )
    finally:
        os.close(writing)
        if how != "unread":
            os.close(reading)
    found = run_yaml(run_base / "exp" / "r")
    assert ("FINISHED", 1234) == (found["status"], found["rows_written"])
