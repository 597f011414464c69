"""What a test session must not leave behind: processes, shared memory, files.

Processes are found by parentage and by a token that they inherit in their environment,
segments and files as the difference between the end of the session and its start. Another session
may run beside this one: what its processes use, and memory whose run lies in its directories, is
not counted, nor is anything that goes away by itself.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from expman.transport import layout

__all__ = ["TOKEN_VARIABLE", "Snapshot", "find_leaks", "processes", "take_snapshot"]

TOKEN_VARIABLE = "EXPMAN_TEST_SESSION"
GRACE_S = 30.0
SHM_DIR = Path("/dev/shm")
SEGMENT_PREFIX = "expman-"
REPOSITORY = Path(__file__).resolve().parent.parent

# Caches that tools keep in the repository, all of them ignored by git.
_TOOL_DIRS = {
    ".cache",
    ".git",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".venv",
    "__pycache__",
}

# The standard library's own helpers live as long as the process that started them.
_HELPERS = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")


class Process(NamedTuple):
    """A process as /proc shows it."""

    pid: int
    parent_pid: int
    command: str
    environment: bytes


class Snapshot(NamedTuple):
    """What is there at one moment."""

    taken_at: float
    segments: frozenset[Path]
    temporary: frozenset[Path]
    repository: frozenset[Path]


def take_snapshot() -> Snapshot:
    """Looks at everything that a session could leave behind, but for processes."""
    return Snapshot(
        taken_at=time.time(),
        segments=_named(SHM_DIR),
        temporary=_named(Path(tempfile.gettempdir())),
        repository=_repository_files(),
    )


def find_leaks(
    before: Snapshot, token: str, grace_s: float = GRACE_S, own: tuple[Path, ...] = ()
) -> list[str]:
    """Lists what this session has left behind, one line each.

    A leak is what stays for `grace_s` seconds: what is still ending, and what others make and
    remove meanwhile, does not.

    Args:
        before: what was there when the session began.
        token: the session's own.
        grace_s: seconds that it gets.
        own: directories in which the session's runs lie.
    """
    deadline = time.monotonic() + grace_s
    leaks = _leaks_now(before, token, own)
    while leaks and time.monotonic() < deadline:
        time.sleep(0.05)
        now = set(_leaks_now(before, token, own))
        leaks = [leak for leak in leaks if leak in now]
    return leaks


def processes() -> Iterator[Process]:
    """Lists the running processes that may be looked at, zombies left out."""
    for entry in list(os.scandir("/proc")):  # the caller may not take them all
        if not entry.name.isdigit():
            continue
        try:
            stat = Path(entry.path, "stat").read_bytes()
            command = Path(entry.path, "cmdline").read_bytes()
            environment = Path(entry.path, "environ").read_bytes()
        except OSError:
            continue  # ended meanwhile, or somebody else's
        # The name in parentheses may contain anything, a parenthesis too.
        state, parent_pid = stat[stat.rindex(b")") + 2 :].split()[:2]
        if state not in (b"Z", b"X"):
            text = command.replace(b"\0", b" ").decode(errors="replace").strip()
            yield Process(int(entry.name), int(parent_pid), text, environment)


def _leaks_now(before: Snapshot, token: str, own: tuple[Path, ...]) -> list[str]:
    ours, others = _sort_processes(token)
    leaks = [f"process {process.pid} still runs: {process.command}" for process in ours]
    for kind, then, now in (
        ("shared memory", before.segments, _named(SHM_DIR)),
        ("temporary file", before.temporary, _named(Path(tempfile.gettempdir()))),
    ):
        new = [path for path in sorted(now - then) if _made_since(path, before.taken_at)]
        in_use = _files_of(others) if new else frozenset()
        leaks += [
            f"{kind} left behind: {path}"
            for path in new
            if str(path) not in in_use and not _lies_elsewhere(path, own)
        ]
    for path in sorted(_repository_files() - before.repository):
        leaks.append(f"file left behind in the repository: {path.relative_to(REPOSITORY)}")
    return leaks


def _sort_processes(token: str) -> tuple[list[Process], list[int]]:
    """Divides what runs into this session's descendants and the pids of all others."""
    everything = {process.pid: process for process in processes()}
    mark = f"{TOKEN_VARIABLE}={token}".encode()
    me = os.getpid()
    myself = {me, *_lineage(me, everything)}
    ours, others = [], []
    for process in everything.values():
        lineage = _lineage(process.pid, everything)
        if process.pid in myself:
            continue
        if process.parent_pid == me and any(name in process.command.encode() for name in _HELPERS):
            continue
        if me in lineage or mark in process.environment.split(b"\0"):
            ours.append(process)
        else:
            others.append(process.pid)
    return ours, others


def _lineage(pid: int, everything: dict[int, Process]) -> list[int]:
    """Gives the pids of a process's parent, its parent's parent, and so on."""
    pids: list[int] = []
    while pid in everything and (pid := everything[pid].parent_pid) not in pids:
        pids.append(pid)
    return pids


def _named(directory: Path) -> frozenset[Path]:
    return frozenset(directory.glob(f"{SEGMENT_PREFIX}*"))


def _made_since(path: Path, moment: float) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    # A clock of the file system may be a tick behind.
    return status.st_uid == os.geteuid() and status.st_ctime >= moment - 1


def _files_of(pids: list[int]) -> frozenset[str]:
    """The files that processes have mapped or open."""
    found: set[str] = set()
    for pid in pids:
        # It may end meanwhile, or be somebody else's.
        with suppress(OSError):
            maps = Path(f"/proc/{pid}/maps").read_text(errors="replace")
            found.update(line.split(maxsplit=5)[-1] for line in maps.splitlines())
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    found.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return frozenset(found)


def _lies_elsewhere(path: Path, own: tuple[Path, ...]) -> bool:
    """Whether a segment's lanes belong to runs whose base directories are not this session's."""
    address = "-".join(path.name.split("-")[:2])
    bases = list(filter(None, map(_base_dir, path.parent.glob(f"{address}-*"))))
    return bool(bases) and not any(
        not base.exists() or any(base.is_relative_to(one) for one in own) for base in bases
    )


def _base_dir(path: Path) -> Path | None:
    """The base directory that a lane's hello names; None for what is no lane."""
    try:
        control = path.read_bytes()
        words = memoryview(control)[: layout.CONTROL_BYTES].cast("Q")
        if words[layout.MAGIC] != layout.MAGIC_LANE:
            return None
        end = layout.CONTROL_BYTES + words[layout.HELLO_BYTES]
        return Path(msgspec.msgpack.decode(control[layout.CONTROL_BYTES : end])["base_dir"])
    except (OSError, ValueError, IndexError, KeyError, TypeError, msgspec.DecodeError):
        return None  # removed meanwhile, or not ready yet


def _repository_files() -> frozenset[Path]:
    found = set()
    for directory, names, files in os.walk(REPOSITORY):
        names[:] = [name for name in names if name not in _TOOL_DIRS]
        found.update(Path(directory, name) for name in files if not name.endswith(".pyc"))
    return frozenset(found)
