"""Counts the kernel's out-of-memory kills in the cgroup of a process."""

from __future__ import annotations

__all__ = ["MemoryKills"]


class MemoryKills:
    """The kills in the cgroup of a process, from now on."""

    def __init__(self, pid: int) -> None:
        self._events = _memory_events(pid)
        self._before = _oom_kills(self._events)

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
