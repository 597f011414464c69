"""Fixtures for all tests: where runs go, how programs are started, what must not stay behind."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from leaks import REPOSITORY, TOKEN_VARIABLE, Snapshot, find_leaks, take_snapshot

DEADLINE_S = 120.0
PROGRAMS = Path(__file__).parent / "programs"

# What a program needs to run; nothing else of the caller's environment gets into it.
_KEPT_VARIABLES = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR")

# What an Experiment records unasked is recorded in the tests that are about it.
UNASKED = {
    "EXPMAN_SYSTEM_METRICS_INTERVAL_SECS": "0",
    "EXPMAN_CAPTURE_PROVENANCE": "0",
    "EXPMAN_REDIRECT_CONSOLE": "0",
    "EXPMAN_HANG_AFTER_S": "0",
}

_BROWSER = ("playwright", "axe_core_python", "starlette", "uvicorn")
_READERS = ("duckdb", "ipykernel", "nbclient", "pandas", "polars")

_GROUPS: dict[str, Callable[[], bool]] = {
    "torch": lambda: importlib.util.find_spec("torch") is not None,
    "peers": lambda: bool(os.environ.get("EXPMAN_RS_PYTHON")),
    "interop": lambda: all(map(importlib.util.find_spec, _READERS)),
    "root": lambda: os.geteuid() == 0,
    "strace": lambda: shutil.which("strace") is not None,
    "frameworks": lambda: bool(os.environ.get("EXPMAN_FRAMEWORKS_PYTHON")),
    "tensorboardx": lambda: bool(os.environ.get("EXPMAN_TENSORBOARDX_PYTHON")),
    "stores": lambda: bool(os.environ.get("EXPMAN_STORES_PYTHON")),
    "azurite": lambda: bool(os.environ.get("EXPMAN_AZURITE")),
    "browser": lambda: (
        all(map(importlib.util.find_spec, _BROWSER)) and shutil.which("chromium") is not None
    ),
    "clusters": lambda: bool(os.environ.get("EXPMAN_CLUSTERS_PYTHON")),
}


_BEFORE = pytest.StashKey[Snapshot]()
_LEAKS = pytest.StashKey[list[str]]()


# No test measures time: a busy machine would fail it.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("untimed")
    config.addinivalue_line("markers", "strace: needs strace")
    # Set before any test starts a process; scripts/test sets it before Python starts, so that
    # forked children carry it, too.
    os.environ.setdefault(TOKEN_VARIABLE, secrets.token_hex(8))
    os.environ.update(UNASKED)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):  # a process of xdist leaves that to its parent
        config.stash[_BEFORE] = take_snapshot()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails the session if it leaves a process, shared memory or a file behind."""
    before = session.config.stash.get(_BEFORE, None)
    if before is None:
        return
    # Processes of xdist have directories of their own in this one.
    own = session.config._tmp_path_factory.getbasetemp().resolve()  # type: ignore[attr-defined]
    session.config.stash[_LEAKS] = find_leaks(
        before, os.environ[TOKEN_VARIABLE], own=(own, REPOSITORY)
    )
    if session.config.stash[_LEAKS]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Lists what was left behind."""
    leaks = config.stash.get(_LEAKS, [])
    if leaks:
        terminalreporter.section("FAILED: the test session left things behind", red=True)
    for leak in leaks:
        terminalreporter.line(leak)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips the groups that cannot run here; EXPMAN_TEST_REQUIRE names those that must run."""
    required = set(filter(None, os.environ.get("EXPMAN_TEST_REQUIRE", "").split(",")))
    reasons = {
        group: f"the group {group} cannot run here: {_marker_help(config, group)}"
        for group, can_run in _GROUPS.items()
        if group not in required and not can_run()
    }
    if "soak" not in config.option.markexpr:
        reasons["soak"] = "soak tests run with -m soak"
    for item in items:
        for group, reason in reasons.items():
            if group in item.keywords:
                item.add_marker(pytest.mark.skip(reason=reason))


def _marker_help(config: pytest.Config, group: str) -> str:
    lines = (line.split(":", 1) for line in config.getini("markers"))
    return next(rest.strip() for name, rest in lines if name == group)


@pytest.fixture
def run_base(tmp_path: Path) -> Path:
    """A base directory of this test's own, not made yet."""
    return tmp_path / "experiments"


@pytest.fixture
def disk_path() -> Iterator[Path]:
    """A directory for tests about /dev/shm itself, where `scripts/test` has `tmp_path`."""
    with tempfile.TemporaryDirectory(prefix="pytest-") as path:
        yield Path(path)


class Program:
    """A program that a test has started, and that ends with the test at the latest."""

    def __init__(self, command: list[str], *, cwd: Path, env: dict[str, str]) -> None:
        self.command = command
        self.cwd = cwd
        self.address = ""  # a standing writer's, see `shared_writer`
        self.env: dict[str, str] = {}
        self._stdout = cwd / f".{secrets.token_hex(4)}.out"
        self._stderr = self._stdout.with_suffix(".err")
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self._popen = subprocess.Popen(
                command, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=out, stderr=err
            )
        self._lines_taken = 0

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return self._stdout.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """What it has printed to standard error so far."""
        return self._stderr.read_text(errors="replace")

    def running(self) -> bool:
        return self._popen.poll() is None

    def send_line(self, text: str = "") -> None:
        """Writes a line to its standard input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(text.encode() + b"\n")
        self._popen.stdin.flush()

    def close_stdin(self) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.close()

    def read_line(self, timeout_s: float = DEADLINE_S) -> str:
        """Waits for the next whole line of its output."""
        deadline = time.monotonic() + timeout_s
        while True:
            ended = not self.running()
            lines = self.stdout.split("\n")[:-1]
            if len(lines) > self._lines_taken:
                self._lines_taken += 1
                return lines[self._lines_taken - 1]
            if ended or time.monotonic() > deadline:
                what = f"ended with {self._popen.returncode}" if ended else "did not answer"
                pytest.fail(f"{self._describe()} {what} before its next line")
            time.sleep(0.002)

    def expect_line(self, text: str, timeout_s: float = DEADLINE_S) -> None:
        """Waits for its next line, which must be `text`."""
        assert text == self.read_line(timeout_s), self._describe()

    def send_signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def kill(self) -> int:
        """Kills it with SIGKILL and waits until it is gone."""
        self._popen.kill()
        return self.wait()

    def wait(self, timeout_s: float = DEADLINE_S) -> int:
        """Waits for its end and gives its exit status, negative for a signal."""
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self._describe()} still runs after {timeout_s} s")

    def succeed(self, timeout_s: float = DEADLINE_S) -> str:
        """Waits for its end, which must be a success, and gives its output."""
        status = self.wait(timeout_s)
        assert status == 0, f"{self._describe()} ended with {status}"
        return self.stdout

    def end(self) -> None:
        """Makes sure that it is gone."""
        if self._popen.stdin is not None:
            try:
                self._popen.stdin.close()
            except BrokenPipeError:
                pass
        if self.running():
            self._popen.kill()
        self._popen.wait()

    def _describe(self) -> str:
        return (
            f"{' '.join(self.command)} (pid {self.pid})\n"
            f"--- its output\n{self.stdout}\n--- its errors\n{self.stderr}\n---\n"
        )


StartProgram = Callable[..., Program]


@pytest.fixture
def program_env() -> dict[str, str]:
    """The environment that programs of a test start with."""
    env = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    env[TOKEN_VARIABLE] = os.environ[TOKEN_VARIABLE]
    env["PYTHONUNBUFFERED"] = "1"
    env["PYTHONFAULTHANDLER"] = "1"
    env["EXPMAN_QUIET"] = "1"  # tests look at what else a program prints
    env.update(UNASKED)
    return env


@pytest.fixture
def program(tmp_path: Path, program_env: dict[str, str]) -> Iterator[StartProgram]:
    """Starts programs: `program("name.py", arg, …, env={…}, python=…, cwd=…)`.

    A name without a directory is looked up in tests/programs. A list as the first argument
    is a whole command line: `program(["-c", code])` follows the interpreter.
    """
    started: list[Program] = []

    def start(
        name: str | Path | list[str],
        *args: object,
        env: dict[str, str] | None = None,
        python: str = sys.executable,
        cwd: Path = tmp_path,
    ) -> Program:
        first = name if isinstance(name, list) else [str(PROGRAMS / name)]
        command = [python, *first, *map(str, args)]
        started.append(Program(command, cwd=cwd, env=program_env | (env or {})))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture
def ray_env() -> Iterator[dict[str, str]]:
    """Ray on this machine alone, with its files in a place that is then removed."""
    # Ray makes sockets in it: their paths are limited to some hundred bytes.
    with tempfile.TemporaryDirectory(prefix="ray") as place:
        yield {
            **dict.fromkeys(("HOME", "TMPDIR", "RAY_TMPDIR"), place),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
        }


@pytest.fixture
def shared_writer(program: StartProgram) -> Iterator[Callable[..., Program]]:
    """Starts standing writers, which are told to end at the test's end and must do so.

    `writer.address` is what a trainer needs, `writer.env` the same for its environment. `first` is
    Python that runs in the writer before it begins, to give its constants other values.
    """
    started: list[Program] = []

    def start(*arguments: object, first: str = "") -> Program:
        begin = "from expman.writer import main; main.main()"
        how = ["-c", f"{first}; {begin}"] if first else ["-m", "expman.writer"]
        writer = program(how, *arguments)
        started.append(writer)
        name, _, address = writer.read_line().partition("=")
        assert name == "EXPMAN_WRITER"
        writer.address, writer.env = address, {name: address}
        return writer

    yield start
    for writer in started:
        if writer.running():
            writer.send_signal(signal.SIGTERM)
            assert writer.wait() == 0, writer.stderr
