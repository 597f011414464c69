"""Counts the kernel's out-of-memory kills in the cgroup of a process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["RECENT_S", "MemoryKills"]


RECENT_S = 60.0
"""A process with much memory takes a while to end after the kernel has killed it."""
_SPACING_S = 1.0


class MemoryKills:
    """The kills in the cgroup of a process, from now on."""

    def __init__(self, pid: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._events = _memory_events(pid)
        self._before = _oom_kills(self._events)
        self._clock = clock
        self._seen, self._seen_at, self._looked_at = 0, -math.inf, -math.inf

    def look(self) -> None:
        """Notes when there are new ones; call it again and again."""
        now = self._clock()
        if now - self._looked_at >= _SPACING_S:
            self._note(now)

    def _note(self, now: float) -> None:
        self._looked_at = now
        if (count := self.count()) > self._seen:
            self._seen, self._seen_at = count, now

    @property
    def are_recent(self) -> bool:
        """True if there was one in the last minute, as far as `look` was called."""
        self._note(self._clock())
        return self._clock() - self._seen_at <= RECENT_S

    @property
    def are_counted(self) -> bool:
        """True if the kernel reports them."""
        return self._before is not None

    def count(self) -> int:
        """Number of kills since then; 0 if the kernel does not report them."""
        now = _oom_kills(self._events)
        return 0 if now is None or self._before is None else now - self._before


def _memory_events(pid: int, proc: str = "/proc", cgroups: str = "/sys/fs/cgroup") -> str | None:
    """The file in which the process's cgroup counts its out-of-memory kills."""
    try:
        with open(f"{proc}/{pid}/cgroup", encoding="utf-8") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except (OSError, UnicodeDecodeError):
        return None
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if "memory" in controllers.split(","):  # version 1
            return f"{cgroups}/memory{path.rstrip('/')}/memory.oom_control"
        if not controllers and not any("memory" in line[1] for line in lines):
            return f"{cgroups}{path.rstrip('/')}/memory.events"
    return None


def _oom_kills(path: str | None) -> int | None:
    if path is None:
        return None
    try:
        with open(path, encoding="ascii") as file:
            for line in file:
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    except (OSError, ValueError):
        pass
    return None
