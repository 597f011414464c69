"""Descriptors 1 and 2: what C libraries and child processes print is recorded, and passed on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from conftest import PROGRAMS, Program
from leaks import processes
from process.runs import only_run, run_yaml, wait_for_end, wait_until, writer_of

import expman


class Printer:
    """The program print_somehow.py, with a pipe for its answers."""

    def __init__(self, base: Path, **options: object) -> None:
        answers, theirs = os.pipe()
        self._answers = os.fdopen(answers, "rb")
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec 3>&{theirs}; exec "$@"', "-", *self._command(base)],
            stdin=subprocess.PIPE,
            pass_fds=[theirs],
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},  # type: ignore[call-overload]
        )
        os.close(theirs)

    @staticmethod
    def _command(base: Path) -> list[str]:
        return [sys.executable, str(PROGRAMS / "print_somehow.py"), str(base)]

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def do(self, *lines: str) -> None:
        """Has it do something, and waits until it is done."""
        for line in lines:
            self.say(line)
            assert b"done\n" == self._answers.readline()

    def end(self) -> tuple[str, str]:
        """What it has printed to both streams, once it has ended."""
        out, err = self.process.communicate(timeout=60)
        return (out or b"").decode(), (err or b"").decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.process.stderr, self._answers):
            if file is not None:
                file.close()


@pytest.fixture
def printer(run_base: Path) -> Iterator[Printer]:
    found = Printer(run_base)
    yield found
    found.close()


def recorded(base: Path) -> list[tuple[str, str, str]]:
    return [
        (line.stream, line.producer, line.text) for line in expman.Run(only_run(base)).console()
    ]


def out(*texts: str) -> list[tuple[str, str, str]]:
    return [("out", "main", text) for text in texts]


def relays_of(pid: int) -> list[int]:
    """The relays of a program: they get the address of its engine."""
    return [
        process.pid
        for process in processes()
        if process.parent_pid == pid and " serve " not in process.command
        if re.search(r" shm:[0-9a-f]+#[0-9]+ ", process.command)
    ]


def relay_of(pid: int, *, but: Sequence[int] = ()) -> int:
    found = wait_until(lambda: [one for one in relays_of(pid) if one not in but], "a relay")
    return int(found[0])


def test_whoever_prints(printer: Printer, run_base: Path) -> None:
    """Python, C, a child, a forked child and an attached worker: each line once, and passed on."""
    printer.do("print python", "c library", "write child", "fork forked", "attach worker")
    printer.do("err problem", "close", "print afterwards")
    printer.say("end")
    printed, problems = printer.end()
    # C's stdout has its own buffer where it is no terminal: it is emptied at the end.
    expected = ["python", "library", "child", "forked", "worker"]
    lines = printed.splitlines()
    assert (sorted(expected), ["afterwards"]) == (sorted(lines[:-1]), lines[-1:])
    assert ["problem"] == problems.splitlines()
    assert out(*lines[:-1]) == [line for line in recorded(run_base) if line[0] == "out"]
    assert ("err", "main", "problem") in recorded(run_base)
    assert "FINISHED" == run_yaml(only_run(run_base))["status"]


def test_killed_right_after(printer: Printer, run_base: Path) -> None:
    """What was printed before SIGKILL is recorded and passed on."""
    for number in range(300):
        printer.say(f"print {number}")
    printer.say("kill")
    printed, _ = printer.end()
    assert "CRASHED" == wait_for_end(only_run(run_base))["status"]
    assert list(map(str, range(300))) == printed.splitlines()
    assert out(*map(str, range(300))) == recorded(run_base)


def test_killed_before_the_relay_has_started(printer: Printer, run_base: Path) -> None:
    """The end of the run waits for a relay that starts later than the program ends."""
    printer.say("print last words")
    printer.say("kill")
    printed, _ = printer.end()
    wait_until(lambda: list(run_base.glob("*/*/run.yaml")), "a run")
    wait_for_end(only_run(run_base))
    assert ["last words"] == printed.splitlines()
    assert out("last words") == recorded(run_base)


def test_killed_relay(printer: Printer, run_base: Path) -> None:
    """Another relay goes on; the program notices nothing."""
    printer.do("print first")
    relay = relay_of(printer.process.pid)
    wait_until(lambda: (run_base / "console/run/console.log").exists(), "the first line")
    os.kill(relay, signal.SIGKILL)
    printer.do("print meanwhile")
    relay_of(printer.process.pid, but=[relay])
    printer.do("print later", "write child")
    printer.say("end")
    printed, _ = printer.end()
    assert ["first", "meanwhile", "later", "child"] == printed.splitlines()
    assert out("first", "meanwhile", "later", "child") == recorded(run_base)


def test_a_relay_killed_after_the_run(printer: Printer) -> None:
    """Nothing is recorded any more, so nobody is warned."""
    printer.do("linger", "print first", "close")
    relay = relay_of(printer.process.pid)
    os.kill(relay, signal.SIGKILL)
    wait_until(lambda: not relays_of(printer.process.pid), "it has ended")
    printer.do("print second")
    printer.say("end")
    printed, problems = printer.end()
    assert ("first\nsecond\n", "") == (printed, problems)


def test_killed_writer(printer: Printer, run_base: Path) -> None:
    """The program goes on printing; its successor has every line once."""
    printer.do("print first")
    os.kill(writer_of(printer.process.pid).pid, signal.SIGKILL)
    printer.do("print meanwhile", "write child")
    printer.say("end")
    printed, _ = printer.end()
    assert ["first", "meanwhile", "child"] == printed.splitlines()
    assert out("first", "meanwhile", "child") == recorded(run_base)


def test_relays_that_cannot_start(run_base: Path, tmp_path: Path) -> None:
    """Without a relay the program prints as without expman, and is warned once."""
    broken = tmp_path / "python"
    broken.write_text(f'#!/bin/sh\ncase "$*" in *"#"*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    broken.chmod(0o755)
    printer = Printer(run_base, env={**os.environ, "EXPMAN_PYTHON": str(broken)})
    try:
        printer.do("print first")
        printer.do("print second")
        printer.say("end")
        printed, problems = printer.end()
    finally:
        printer.close()
    assert ["first", "second"] == printed.splitlines()
    assert 1 == problems.count("the console is not recorded any more")


def test_a_reader_that_is_gone(printer: Printer, run_base: Path) -> None:
    """`train | head` ends the passing on, not the program nor the recording."""
    assert printer.process.stdout is not None
    printer.do("print first")
    assert b"first\n" == printer.process.stdout.readline()
    printer.process.stdout.close()
    printer.process.stdout = None
    printer.do("print second", "print third")
    printer.say("end")
    printer.end()
    assert 0 == printer.process.returncode
    assert out("first", "second", "third") == recorded(run_base)


def read_all(fd: int, into: bytearray) -> None:
    with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
        while data := os.read(fd, 4096):
            into += data


def test_a_terminal_stays_one(run_base: Path) -> None:
    """The program sees a terminal of the same size, and its bytes reach the real one unchanged."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    printer = Printer(run_base, stdout=inner, stderr=inner)
    os.close(inner)
    shown = bytearray()
    reader = threading.Thread(target=read_all, args=(outer, shown))
    reader.start()
    try:
        printer.do("terminal", "print \x1b[31mred\x1b[0m")
        fcntl.ioctl(outer, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 99, 0, 0))
        while b"True 99 44\r\n" not in shown:
            printer.do("terminal")
            time.sleep(0.05)
        printer.say("end")
        printer.end()
    finally:
        printer.close()
        reader.join()
        os.close(outer)
    assert shown.startswith(b"True 77 33\r\n\x1b[31mred\x1b[0m\r\n")
    lines = recorded(run_base)
    assert out("True 77 33", "red") == lines[:2]
    assert out("True 99 44") == lines[-1:]


NESTED = """
import os, sys
from expman import ExperimentConfig, LoggingEngine
engines = [
    LoggingEngine(ExperimentConfig("e", sys.argv[1], run_name=name, redirect_console="fd"))
    for name in ("first", "second", "third")
]
for engine in engines:
    os.write(1, b"".join(b"%d\\n" % n for n in range(20_000)))
    engine.close()
"""


def test_several_engines(program, run_base: Path) -> None:  # type: ignore[no-untyped-def]
    """The one that is closed first has what the relays of the later ones were about to pass on."""
    printed = [str(n) for n in range(20_000)]
    program(["-c", NESTED], run_base).succeed()
    for lines, name in enumerate(("first", "second", "third"), 1):
        found = [line.text for line in expman.Run(run_base / "e" / name).console()]
        assert printed * lines == found, name


def test_a_program_with_many_files(program, run_base: Path) -> None:  # type: ignore[no-untyped-def]
    """Numbers of 1024 and more, which select() does not take, go to expman like any others."""
    code = """
import os, resource, sys
import expman
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
for resume in ("never", "must"):
    with expman.init("e", "r", sys.argv[1], resume=resume, redirect_console="fd"):
        os.system("echo " + resume)
"""
    program(["-c", code], run_base).succeed()
    assert out("never", "must") == recorded(run_base)
    assert "FINISHED" == run_yaml(only_run(run_base))["status"]


# -- expman-writer run ----------------------------------------------------------------


@pytest.fixture
def launch(program):  # type: ignore[no-untyped-def]
    """Starts `expman-writer run [options] -- command`."""

    def start(*command: object, options: tuple[object, ...] = (), **more: object) -> Program:
        given = ["-m", "expman.writer", "run", *map(str, options), "--", *map(str, command)]
        env = {"EXPMAN_REDIRECT_CONSOLE": "", "EXPMAN_CAPTURE_PROVENANCE": "1"}
        return program(given, env=env, **more)

    return start


def record(run_base: Path) -> tuple[object, ...]:
    return "--experiment", "command", "--run-base-dir", run_base


def test_launched(launch, run_base: Path) -> None:
    """`expman-writer run` records all that a program prints from the begin of its run."""
    code = (
        "import expman, os, sys\n"
        "with expman.LoggingEngine(expman.ExperimentConfig('e', sys.argv[1])):\n"
        "    os.system('echo child')\n"
    )
    launched = launch(sys.executable, "-c", code, run_base)
    assert "child\n" == launched.succeed()
    assert out("child") == recorded(run_base)


@pytest.mark.parametrize(
    ("script", "code", "status", "reason"),
    [
        ("echo fine", 0, "FINISHED", None),
        ("echo bad; exit 3", 3, "FAILED", "the command ended with exit status 3"),
        ("echo dead; kill -9 $$", 137, "CRASHED", "the command was killed by SIGKILL"),
    ],
)
def test_any_command(
    launch, run_base: Path, script: str, code: int, status: str, reason: str | None
) -> None:
    """With --experiment, any command is a run: its output, its command line and its end."""
    launched = launch("sh", "-c", script, options=record(run_base))
    assert code == launched.wait()
    run = run_yaml(only_run(run_base))
    assert (status, reason) == (run["status"], run.get("reason"))
    word = script.split()[1].rstrip(";")
    assert out(word) == recorded(run_base)
    provenance = expman.Run(only_run(run_base)).provenance
    assert provenance is not None
    assert f"sh -c '{script}'" == provenance["command"]


def test_a_command_that_is_not_there(launch, run_base: Path) -> None:
    """It fails as in a shell, and so does its run."""
    launched = launch("/no/such/command", options=record(run_base))
    assert 127 == launched.wait()
    run = run_yaml(only_run(run_base))
    assert ("FAILED", "/no/such/command: No such file or directory") == (
        run["status"],
        run["reason"],
    )


def test_a_command_adds_rows(launch, run_base: Path) -> None:
    """Inside the command, attach() leads to its run."""
    code = "import expman; expman.attach().log_vector({'n': 1.0}, 0)"
    launched = launch(sys.executable, "-c", code, options=record(run_base))
    assert 0 == launched.wait()
    assert [1.0] == expman.Run(only_run(run_base)).vectors()["n"].to_pylist()


def test_a_signal_for_the_command(launch, run_base: Path) -> None:
    """SIGTERM reaches the command, which may end as it wants."""
    script = "trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    launched = launch("bash", "-c", script, options=record(run_base))
    launched.expect_line("ready")
    launched.send_signal(signal.SIGTERM)
    assert 0 == launched.wait()
    assert out("ready", "saved") == recorded(run_base)
    assert "FINISHED" == run_yaml(only_run(run_base))["status"]
