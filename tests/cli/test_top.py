"""`expman top`: live runs, once, in a pipe and in a terminal."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from cli.conftest import Expman
from unit.reading.run_files import block, make_run

import expman
from expman.models import RunStatus
from expman.reading.live_status import live_status

DEADLINE_S = 120.0


def now(seconds_ago: float = 0.0) -> str:
    moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds_ago)
    return moment.isoformat().replace("+00:00", "Z")


@pytest.fixture
def base(run_base: Path) -> Path:
    """Thirty live runs of which one stands still, and one that has ended."""
    for number in range(30):
        make_run(
            run_base,
            f"alive-{number:02d}",
            block(0, {"loss": [1.0, 0.5]}),
            status=RunStatus.RUNNING,
            started_at=now(3600 - number),
            heartbeat_at=now(),
            stalled_since=now(600) if number == 3 else None,
            params={"max_steps": 20},
            vectors={"loss": 0.5, "evil\x1b[2J": "\x1b[2J"},
            rows_written=2,
        )
    make_run(run_base, "one-of-yesterday", block(0, {"loss": [1.0]}))
    return run_base


def of(out: str, base: Path) -> list[str]:
    """The lines of the base directory's runs: other tests of this user may have live ones, too."""
    return [line for line in out.splitlines() if re.match(r"(exp/)?alive-\d\d\b", line)]


def test_top_once(expman_command: Expman, base: Path) -> None:
    """All live runs, those that stand still first; a pipe gets one look."""
    for arguments in (["top"], ["top", "--once"]):
        result = expman_command(*arguments, base_dir=base)
        lines = of(result.out, base)
        assert (0, 30) == (result.code, len(lines))
        assert "alive-03" in lines[0]
        assert "stands still 10m" in lines[0]
        assert "10 of 20, 50 %" in lines[1]
        assert "one-of-yesterday" not in result.out
        assert "\x1b" not in result.out


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_top_fits(
    expman_command: Expman, base: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """No line is wider, no name is cut."""
    from expman.cli.output import console

    monkeypatch.setenv("COLUMNS", str(width))
    console.cache_clear()
    try:
        out = expman_command("top", base_dir=base).out
    finally:
        console.cache_clear()
    assert max(map(len, out.splitlines())) <= width
    assert 30 == len(of(out, base))


def test_top_as_json(expman_command: Expman, base: Path) -> None:
    """A record for each run."""
    found = json.loads(expman_command("top", "--json", base_dir=base).out)
    mine = [one for one in found if one["path"].startswith(str(base))]
    paces = [(one["pace"]["step"], one["pace"]["total"]) for one in mine]
    assert [(10, 20)] * 30 == paces


def test_a_run_elsewhere_has_its_path(
    expman_command: Expman,
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A run of the base directory has a name; that of another one has its path below the table."""
    from expman.cli import top
    from expman.cli.output import console

    own = live_status(expman.Run(base / "exp" / "alive-01"))
    assert own is not None
    other = dataclasses.replace(own, path="/data/team/exp/other", name="other")
    monkeypatch.setattr(top._Looks, "take", lambda _self: [own, other] * 3)
    out = expman_command("top", base_dir=base).out
    assert ["alive-01", "other"] == [line.split()[0] for line in out.splitlines()[2:4]]
    assert out.endswith("in other base directories\n" + "  exp/other: /data/team/exp/other\n" * 3)
    for height in (10, 11, 12, 20):  # of a terminal, which has a last line of its own
        console().print(top._view(top._Looks(str(base)), height))
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) <= height
        assert lines[0].endswith("q ends")


def test_top_without_a_base_directory(expman_command: Expman) -> None:
    """The message has why; runs elsewhere on this machine would be shown."""
    result = expman_command("top")
    assert (0, True) == (result.code, "no such directory" in result.out)


def test_a_live_run_of_this_machine(tmp_path: Path) -> None:
    """Its pace, its newest row and its steps are those of its files."""
    with expman.LoggingEngine(expman.ExperimentConfig("e", tmp_path, run_name="r")) as engine:
        for step in range(10):
            engine.log_vector({"loss": 1.0}, step)
        engine.flush()
        status = live_status(expman.Run(engine.run_dir))
        assert status is not None
        pace = status.pace
        assert (9, None, None) == (pace.step, pace.total, status.silent_s)
        assert pace.rows_per_s is not None
        assert pace.rows_per_s > 1.0
        assert pace.last_row_s is not None
        run_dir = engine.run_dir
    assert live_status(expman.Run(run_dir)) is None


def own_terminal() -> None:
    """Makes stdin the terminal that Ctrl-C comes from."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup


@pytest.mark.parametrize("end", [b"q", b"\x03", "hangup"])
def test_top_in_a_terminal(base: Path, end: bytes | str) -> None:
    """It is refreshed, ends at q and Ctrl-C, and leaves the terminal as it was."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 100, 0, 0))
    before = termios.tcgetattr(follower)
    process = subprocess.Popen(
        [sys.executable, "-m", "expman.cli", "top", "-d", str(base), "-n", "0.2"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        preexec_fn=own_terminal,
        env={**os.environ, "TERM": "xterm", "COLORTERM": ""},
    )
    seen, looks = b"", 0
    deadline = time.monotonic() + DEADLINE_S
    try:
        while looks < 2 and time.monotonic() < deadline:
            if select.select([leader], [], [], 0.1)[0]:
                seen += os.read(leader, 1 << 16)
            looks = seen.count(b"q ends")
        assert 2 <= looks
        assert b"more" in seen  # thirty runs in twenty lines
        assert b"\x1b[2J\x1b" not in seen.replace(b"\x1b[H", b"")
        if isinstance(end, bytes):
            os.write(leader, end)
        else:
            process.send_signal(signal.SIGHUP)
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([leader], [], [], 0.1)[0]:
                seen += os.read(leader, 1 << 16)
        assert (0 if isinstance(end, bytes) else -signal.SIGHUP) == process.wait(DEADLINE_S)
        if isinstance(end, bytes):
            assert before == termios.tcgetattr(follower)
    finally:
        process.kill()
        process.wait()
        for fd in (leader, follower):
            with contextlib.suppress(OSError):
                os.close(fd)
