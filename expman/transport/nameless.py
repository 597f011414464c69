"""Segments whose names were removed, found in the processes that still have them open.

systemd-logind (RemoveIPC) and cleaners remove names in /dev/shm while a run goes on. The memory
stays as long as a process has it, and a process of the same user can open it through
`/proc/PID/fd`. Nothing can give it its name back.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

__all__ = ["find", "is_of"]

_MARK = " (deleted)"


def find(start: str, pids: Iterable[int] | None = None) -> dict[str, list[str]]:
    """The nameless segments whose names began like this, each with the paths that open it.

    Args:
        start: the beginning of their names.
        pids: the processes to look at; all of this user, except this one, if left out.
    """
    found: dict[str, list[str]] = {}
    for pid in _processes() if pids is None else pids:
        for path in _descriptors(pid):
            name = _former_name(path)
            if name.startswith(start):
                found.setdefault(name, []).append(path)
    return found


def is_of(fd: int, name: str) -> bool:
    """True if a descriptor of this process belongs to the nameless segment `name`."""
    return _former_name(f"/proc/self/fd/{fd}") == name


def _former_name(path: str) -> str:
    """The name that an open file has lost; "" if it still has it, or never had one."""
    try:
        target = os.readlink(path)
    except OSError:
        return ""
    return os.path.basename(target.removesuffix(_MARK)) if target.endswith(_MARK) else ""


def _processes() -> Iterator[int]:
    own = os.getpid()
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    yield from (int(name) for name in names if name.isdecimal() and int(name) != own)


def _descriptors(pid: int) -> list[str]:
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:  # the process may end meanwhile
            return [entry.path for entry in entries]
    except OSError:
        return []  # it has ended, or is another user's
