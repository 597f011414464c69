"""run.log: what a line looks like, and that no message can look like another line."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expman.errors import StorageError
from expman.storage.runlog import RunLog, format_line

T0 = 1_769_860_800_123_456_789  # 2026-01-31T12:00:00.123456789Z
ENTRY = re.compile(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] \[(INFO|WARN|ERROR)\] ")


def test_a_line() -> None:
    """Time in UTC to the millisecond, level, message."""
    expected = "[2026-01-31T12:00:00.123Z] [INFO] half way\n"
    assert expected == format_line("INFO", T0, "half way")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("a\nb", "a\n    b"),
        ("a\r\nb", "a\n    b"),
        ("a\rb", "a\\x0db"),
        ("a\0b\x1b[2J\x7f", "a\\x00b\\x1b[2J\\x7f"),
        ("a\u2028b\u2029c\x85d", "a\\u2028b\\u2029c\\x85d"),
        ("tab\tstays", "tab\tstays"),
        ("größe 日本 🎉", "größe 日本 🎉"),
        ("", ""),
        ("\n", "\n    "),
    ],
)
def test_what_a_message_becomes(message: str, expected: str) -> None:
    """Further lines are indented; control characters, which could drive a terminal, escaped."""
    assert f"[2026-01-31T12:00:00.123Z] [INFO] {expected}\n" == format_line("INFO", T0, message)


@given(st.text() | st.from_regex(ENTRY))
def test_no_message_can_forge_an_entry(message: str) -> None:
    """Whatever a message holds, only its first line begins like an entry, for every reader."""
    text = format_line("WARN", T0, message + "\n[2026-01-31T12:00:00.000Z] [ERROR] forged")
    lines = text.splitlines()
    assert ENTRY.match(lines[0])
    assert [] == [line for line in lines[1:] if not line.startswith("    ")]


@pytest.mark.parametrize("timestamp_ns", [2**63 - 1, -(2**63), 2**70, 0])
def test_any_clock_gives_a_line(timestamp_ns: int) -> None:
    """A clock that is wrong costs its time, not the message."""
    assert format_line("INFO", timestamp_ns, "still here").endswith("[INFO] still here\n")


def test_appending(tmp_path: Path) -> None:
    """Entries follow each other in one write; none makes no file."""
    log = RunLog(str(tmp_path))
    log.append([])
    log.sync()
    assert (0, []) == (log.size(), list(tmp_path.iterdir()))
    log.append([("INFO", T0, "one"), ("WARN", T0, "two")])
    log.append([("ERROR", T0, "\ud800")])
    log.sync()
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert ["[INFO] one", "[WARN] two", "[ERROR] \\ud800"] == [line[27:] for line in lines]
    assert (tmp_path / "run.log").stat().st_size == log.size()


def test_a_failed_append_appends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk in the middle of an entry leaves no half entry; the next call succeeds."""
    log = RunLog(str(tmp_path))
    log.append([("INFO", T0, "first")])
    before = (tmp_path / "run.log").read_bytes()
    real = os.write
    left = [5]

    def write(fd: int, data: memoryview) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(fd, data[: left[0]])
        left[0] -= written
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(StorageError, match="No space left"):
            log.append([("INFO", T0, "second")])
    assert before == (tmp_path / "run.log").read_bytes()
    log.append([("INFO", T0, "second")])
    assert 2 == len((tmp_path / "run.log").read_text().splitlines())


def test_truncate_only_shortens(tmp_path: Path) -> None:
    """It undoes what a killed writer had begun, and never makes a hole."""
    log = RunLog(str(tmp_path))
    log.truncate(0)
    assert [] == list(tmp_path.iterdir())
    log.append([("INFO", T0, "first")])
    size = log.size()
    log.append([("INFO", T0, "second")])
    log.truncate(size)
    log.truncate(10 * size)
    assert format_line("INFO", T0, "first") == (tmp_path / "run.log").read_text()


@pytest.mark.parametrize("planted", ["link", "pipe", "directory"])
def test_what_is_no_file_is_set_aside(tmp_path: Path, planted: str) -> None:
    """A link is not followed, a pipe not waited for, a directory not in the way of the line."""
    run = tmp_path / "run"
    run.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("mine")
    match planted:
        case "link":
            (run / "run.log").symlink_to(victim)
        case "pipe":
            os.mkfifo(run / "run.log")
        case "directory":
            (run / "run.log").mkdir()
    RunLog(str(run)).append([("INFO", T0, "x")])
    assert format_line("INFO", T0, "x") == (run / "run.log").read_text()
    assert os.path.lexists(run / "run.log.corrupt")
    assert "mine" == victim.read_text()
