"""Stacks of the processes of a live run: requested by a signal, written by `faulthandler`.

Each process that joined the run has a file in `.stacks/`, named by its process id. Its first line
says which signal has it write, and identifies the process:

    expman stacks: pid 4711 started 8123456 signal 39

A process is sent the signal only if /proc shows all of this, so that no other one is ever hurt:
- it is the process that the line identifies, by its start time, or a descendant of it;
- it catches the signal: what a process execs begins without handlers, and the signal would end it;
- it has the file open: a program may have closed our descriptor and opened a file of its own
  under the number, and that must not be written to.
Between the look and the signal a process may still exec. That takes a moment of microseconds in a
process that has not logged for minutes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import stat
import time
from collections.abc import Collection, Iterator

import msgspec

from expman.process_start import began_ticks
from expman.storage.paths import LIVE_STACKS, OPEN_DIRECTORY, STACKS, read_regular

__all__ = [
    "NO_ROWS",
    "Stacks",
    "ask_for_stacks",
    "caught_signals",
    "fatal_tracebacks",
    "keep_stacks",
    "remove_live_stacks",
    "write_header",
]

NO_ROWS = "no rows for long: "
"""A line of run.log about producers that stand still begins like this."""
ANSWER_S = 5.0
"""How long a process may take to write: it may be stopped, or wait for a disk."""
QUIET_S = 0.1
_POLL_S = 0.01
MOST_BYTES = 4 * 1024 * 1024
_HEADER = rb"expman stacks: pid (\d+) started (\d+) signal (\d+)\n"
_FATAL = b"Fatal Python error: "
_MOST_FAULTS = 20
"""Of one file, into which many forked children may have written."""


class Stacks(msgspec.Struct, frozen=True):
    """The stacks of one process.

    Attributes:
        pid: its process id.
        name: its command line, shortened.
        text: what it wrote, or "" if it did not answer.
        why_not: why there is no text.
    """

    pid: int
    name: str
    text: str
    why_not: str = ""


def caught_signals(pid: int) -> int | None:
    """The signals that a process catches, as bits; None if /proc does not say."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"SigCgt:"):
                    return int(line.split()[1], 16)
    except (OSError, ValueError):
        pass
    return None


def write_header(run_dir: str, pid: int, number: int) -> tuple[str, int]:
    """Makes the file of a process; returns its path and a descriptor that appends to it.

    Raises:
        OSError: it cannot be made.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with _open_own(run_dir, LIVE_STACKS) as home_fd:
        fd = os.open(str(pid), flags, 0o666, dir_fd=home_fd)
    path = os.path.join(run_dir, LIVE_STACKS, str(pid))
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1:
            raise OSError(errno.EPERM, "not a file of expman's", path)
        os.ftruncate(fd, 0)
        line = "expman stacks: pid {} started {} signal {}\n"
        os.write(fd, line.format(pid, began_ticks(pid) or 0, number).encode())
    except BaseException:
        os.close(fd)
        raise
    return path, fd


@contextlib.contextmanager
def _open_own(run_dir: str, name: str) -> Iterator[int]:
    """A folder of the run, made if it is missing; a link in its place is refused."""
    path = os.path.join(run_dir, name)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
    fd = os.open(path, OPEN_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield fd
    finally:
        os.close(fd)


class _File(msgspec.Struct, frozen=True):
    path: str
    pid: int
    started: int
    signal: int


def _files(run_dir: str) -> Iterator[_File]:
    home = os.path.join(run_dir, LIVE_STACKS)
    try:
        names = sorted(os.listdir(home))
    except OSError:
        return
    for name in names:
        path = os.path.join(home, name)
        with contextlib.suppress(OSError):
            match = re.match(_HEADER, read_regular(path, most_bytes=MOST_BYTES))
            if match is not None and match[1].decode() == name:
                yield _File(path, *(int(group) for group in match.groups()))


def ask_for_stacks(run_dir: str, pids: Collection[int] | None = None) -> list[Stacks]:
    """Has processes of a live run on this machine write their stacks; takes a moment.

    Args:
        run_dir: the run's directory.
        pids: only these and their descendants; None: every process of the run.

    Returns:
        One entry per process: those that joined the run, and their forked descendants.
    """
    found: list[Stacks] = []
    asked: set[int] = set()
    wanted = None if pids is None else {one for pid in pids for one in (pid, *_descendants(pid))}
    for file in _files(run_dir):
        if began_ticks(file.pid) != file.started:
            continue
        for pid in (file.pid, *_descendants(file.pid)):
            if pid in asked or (wanted is not None and pid not in wanted):
                continue
            if pid == file.pid or _has_open(pid, file.path):
                asked.add(pid)
                found.append(_ask(pid, file))
    return found


def _ask(pid: int, file: _File) -> Stacks:
    try:
        process = os.pidfd_open(pid)
    except OSError as exc:
        return Stacks(pid, "", "", f"it cannot be asked: {exc.strerror}")
    try:
        return _ask_process(pid, process, file)
    except OSError as exc:
        return Stacks(pid, _command(pid), "", f"it cannot be asked: {exc.strerror}")
    finally:
        os.close(process)


def _ask_process(pid: int, process: int, file: _File) -> Stacks:
    """Asks a process by its descriptor: a later one with its number gets no signal."""
    name = _command(pid)
    began = began_ticks(pid)
    caught = caught_signals(pid)
    if caught is None or not caught >> (file.signal - 1) & 1:
        return Stacks(pid, name, "", "it runs another program now, or its stacks are switched off")
    if not _has_open(pid, file.path):
        return Stacks(pid, name, "", "it has closed the file that its stacks go to")
    before = os.path.getsize(file.path)
    if not began or began_ticks(pid) != began or (pid == file.pid and began != file.started):
        return Stacks(pid, name, "", "it has just ended")
    signal.pidfd_send_signal(process, file.signal)
    text = _answer(file.path, before)
    return Stacks(pid, name, text, "" if text else f"it has not answered for {ANSWER_S:g} s")


def _answer(path: str, before: int) -> str:
    """Text that a process writes behind `before`, once it has paused."""
    give_up_at = time.monotonic() + ANSWER_S
    size, changed_at = before, time.monotonic()
    while time.monotonic() < give_up_at:
        now = os.path.getsize(path)
        if now != size:
            size, changed_at = now, time.monotonic()
        elif size > before and time.monotonic() - changed_at >= QUIET_S:
            break
        time.sleep(_POLL_S)
    with open(path, "rb") as file:
        file.seek(before)
        return file.read(MOST_BYTES).decode("utf-8", "replace")


def _has_open(pid: int, path: str) -> bool:
    try:
        wanted = os.stat(path)
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    for number in numbers:
        with contextlib.suppress(OSError):
            info = os.stat(f"/proc/{pid}/fd/{number}")
            if (info.st_dev, info.st_ino) == (wanted.st_dev, wanted.st_ino):
                return True
    return False


def _descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                children = [int(child) for child in file.read().split()]
            for child in children:
                yield child
                yield from _descendants(child)


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(4096).split(b"\0")
    except OSError:
        return ""
    return b" ".join(words).decode("utf-8", "replace").strip()[:200]


def keep_stacks(run_dir: str, stacks: list[Stacks], now_s: float) -> list[str]:
    """Writes what was answered into `stacks/`; returns the paths, relative to the run.

    Raises:
        OSError: a file cannot be written.
    """
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    paths = []
    with _open_own(run_dir, STACKS) as home_fd:
        for one in stacks:
            name = f"{moment}-{one.pid}.txt"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=home_fd)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            fd = os.open(name, flags, 0o666, dir_fd=home_fd)
            with open(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"pid {one.pid}: {one.name}\n{one.text or one.why_not}\n")
            paths.append(os.path.join(STACKS, name))
    return paths


def fatal_tracebacks(run_dir: str) -> list[tuple[int, str]]:
    """Tracebacks that processes of the run wrote as they died of a fault.

    Returns:
        Each with the process id that the file is named by: it is that process, or it forked it.
    """
    found = []
    for file in _files(run_dir):
        data = read_regular(file.path, most_bytes=MOST_BYTES)
        for text in data.split(_FATAL)[1:][-_MOST_FAULTS:]:
            found.append((file.pid, (_FATAL + text).decode("utf-8", "replace")))
    return found


def remove_live_stacks(run_dir: str) -> None:
    """Removes the files of the processes: the run has ended."""
    home = os.path.join(run_dir, LIVE_STACKS)
    with contextlib.suppress(OSError):
        # A link to another folder, planted there, would have that one emptied.
        fd = os.open(home, OPEN_DIRECTORY | os.O_NOFOLLOW)
        try:
            for name in os.listdir(fd):
                os.unlink(name, dir_fd=fd)
        finally:
            os.close(fd)
        os.rmdir(home)
