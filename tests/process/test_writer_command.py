"""The expman-writer command: `run -- command`, help, exit codes."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest
from conftest import PROGRAMS, Program
from process.runs import only_run, read_rows, run_yaml, wait_until, writers_of

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def launch(program):  # type: ignore[no-untyped-def]
    """Starts `expman-writer run -- command`; a name is one of tests/programs."""

    def start(*command: object, options: tuple[object, ...] = ()) -> Program:
        found = [
            str(PROGRAMS / str(one)) if str(one).endswith(".py") else str(one) for one in command
        ]
        python = [sys.executable] if str(command[0]).endswith(".py") else []
        return program(["-m", "expman.writer", "run", *map(str, options), "--", *python, *found])

    return start


def test_an_unchanged_script(launch, run_base: Path) -> None:
    """It needs no change; its output and its success are passed on; there is one writer."""
    launched = launch("log_three_rows.py", run_base)
    assert "logged\n" == launched.succeed()
    assert "" == launched.stderr
    run = run_yaml(only_run(run_base))
    assert ("FINISHED", 0) == (run["status"], run["writer_restarts"])
    assert [0, 1, 2] == read_rows(only_run(run_base))["n"].to_pylist()


def test_input_and_ready_file(launch, run_base: Path, tmp_path: Path) -> None:
    """Standard input is the command's; the ready file is there while it runs."""
    ready = tmp_path / "ready"
    launched = launch("log_and_wait.py", run_base, options=("--ready-file", ready))
    launched.read_line()
    assert ready.exists()
    (trainer,) = Path(f"/proc/{launched.pid}/task/{launched.pid}/children").read_text().split()
    assert [] == writers_of(int(trainer))
    launched.send_line("log 1")
    launched.expect_line("logged")
    launched.send_line("return")
    launched.succeed()
    assert not ready.exists()
    assert "FINISHED" == run_yaml(only_run(run_base))["status"]


@pytest.mark.parametrize(
    ("how", "code", "status", "reason"),
    [
        ("end", 0, "FINISHED", None),
        ("exception", 1, "FAILED", "ValueError: diverged"),
        ("exit-3", 3, "FAILED", "sys.exit(3)"),
        ("os-exit", 0, "CRASHED", "without closing the run: exit status 0"),
        ("sigkill", 137, "CRASHED", "without closing the run: killed by SIGKILL"),
        ("sigterm", 143, "CRASHED", "without closing the run: killed by SIGTERM"),
    ],
)
def test_the_exit_status_is_recorded_and_passed_on(
    launch, run_base: Path, how: str, code: int, status: str, reason: str | None
) -> None:
    """128 + n for signal n, as a shell says it; run.yaml has the exact way."""
    assert code == launch("end_somehow.py", run_base, how).wait()
    run = run_yaml(only_run(run_base))
    assert status == run["status"]
    assert reason in run["reason"] if reason else run["reason"] is None
    assert 1 == read_rows(only_run(run_base)).num_rows


def test_signals_are_forwarded(launch, run_base: Path) -> None:
    """The command gets them, answers in its own way, and its rows and status are kept."""
    launched = launch("obey_signals.py", run_base)
    launched.expect_line("ready")
    launched.send_signal(signal.SIGUSR1)
    launched.expect_line("SIGUSR1")
    launched.send_signal(signal.SIGINT)
    launched.expect_line("SIGINT")
    launched.send_signal(signal.SIGTERM)
    launched.expect_line("SIGTERM")
    assert 5 == launched.wait()
    run = run_yaml(only_run(run_base))
    assert ("FAILED", "told to stop") == (run["status"], run["reason"])
    assert [0, 1, 1, 1] == read_rows(only_run(run_base))["n"].to_pylist()


def test_a_command_that_cannot_be_started(launch, tmp_path: Path) -> None:
    """127 where there is none, 126 where it is no program, with a line that says so."""
    missing = launch("no-such-command")
    assert 127 == missing.wait()
    assert "no-such-command: No such file or directory" in missing.stderr
    (tmp_path / "data").write_text("no program")
    wrong = launch(tmp_path / "data")
    assert 126 == wrong.wait()
    assert "Permission denied" in wrong.stderr


@pytest.mark.parametrize("arguments", [["run"], ["run", "--"], ["fly"], ["recover"], ["serve"]])
def test_wrong_usage(program, arguments: list[str]) -> None:
    """Exit code 2, and standard error says what is wrong."""
    found = program(["-m", "expman.writer", *arguments])
    assert 2 == found.wait()
    assert "expman-writer" in found.stderr


def test_an_address_that_is_served(program, shared_writer) -> None:
    """Exit code 3."""
    writer = shared_writer()
    assert 3 == program(["-m", "expman.writer", "serve", "--address", writer.address]).wait()


def test_what_cannot_be_done(program, tmp_path: Path) -> None:
    """Exit code 1: a ready file that cannot be written. Nothing is left in shared memory."""
    found = program(["-m", "expman.writer", "--ready-file", tmp_path / "no" / "ready"])
    assert 1 == found.wait()
    assert "expman-writer: " in found.stderr
    token = found.read_line().partition(":")[2]
    wait_until(lambda: not list(Path("/dev/shm").glob(f"expman-{token}*")), "no shared memory")


@pytest.mark.parametrize("command", [[], ["run"], ["recover"], ["serve"]])
def test_help(program, command: list[str]) -> None:
    """Each command explains itself, and the page names each of its options."""
    text = program(["-m", "expman.writer", *command, "--help"]).succeed()
    assert text.startswith("usage: expman-writer")
    page = (DOCS / "how-to" / "multiprocess.md").read_text()
    options = set(re.findall(r"--[a-z][a-z-]+", text)) - {"--help"}
    assert [] == [option for option in sorted(options) if option not in page]
    if not command:
        assert "exit codes: 0 done; 1" in text
        assert all(f"| {code} |" in page for code in ("0", "1", "2", "3", "126", "127", "128 + n"))
