"""The run's status is what the program ended with, if nobody closed the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from process.runs import only_run, run_yaml


@pytest.mark.parametrize(
    ("way", "exit_status", "reason"),
    [
        ("module", 3, "sys.exit(3)"),
        ("call", 3, "sys.exit(3)"),
        ("through_finally", 3, "sys.exit(3)"),
        ("raised_again", 4, "sys.exit(4)"),
        ("text", 1, "sys.exit(1)"),
        ("wrong_usage", 2, "sys.exit(2)"),
    ],
)
def test_exit_status_fails_the_run(
    program, run_base: Path, way: str, exit_status: int, reason: str
) -> None:
    """An exit status other than 0 makes the run FAILED, and is the reason."""
    assert exit_status == program("end_by_exit.py", run_base, way).wait()
    run = run_yaml(only_run(run_base))
    assert ("FAILED", reason) == (run["status"], run["reason"])


@pytest.mark.parametrize("way", ["zero", "caught", "asked_for_its_code", "in_thread"])
def test_exit_that_does_not_end_the_program(program, run_base: Path, way: str) -> None:
    """An exit status of 0, and an exit that was caught or ends a thread, is no failure."""
    trainer = program("end_by_exit.py", run_base, way)
    trainer.succeed()
    assert "" == trainer.stderr
    run = run_yaml(only_run(run_base))
    assert ("FINISHED", None) == (run["status"], run["reason"])
