"""Why an owner ended, as far as the system tells."""

from __future__ import annotations

import signal
from collections.abc import Callable

from expman.models import RunStatus
from expman.transport.hello import Hello

__all__ = ["OwnerWatch", "describe_status"]


class OwnerWatch:
    """Remembers what is needed to say later why the owner ended.

    The exit status of a process is its parent's alone to know. `ask_parent` gives it where the
    writer is the parent (`expman-writer run`), negative for a signal.
    """

    ask_parent: Callable[[int], int | None] = staticmethod(lambda pid: None)

    def __init__(self, hello: Hello) -> None:
        self._pid = hello.pid
        self._events = _memory_events(hello.pid)
        self._kills = _oom_kills(self._events)

    def why_it_ended(self) -> str:
        """One line."""
        text = f"the owner process (pid {self._pid}) ended without closing the run"
        status = self.ask_parent(self._pid)
        if status is not None:
            text += f": {describe_status(status)}"
        now = _oom_kills(self._events)
        if self._kills is not None and now is not None and now > self._kills:
            text += "; its cgroup ran out of memory and the kernel killed a process (OOM)"
        return text

    def judge_exit(self, stored: int | None, error: str | None) -> tuple[RunStatus, str | None]:
        """The status of a run whose owner ended with it, and the reason.

        Args:
            stored: what the owner gave exit(), see `exit_record`.
            error: an exception that the owner showed. It may have ended the program, or may be
                an interactive user's mistake that was mended.
        """
        status = self.ask_parent(self._pid) if stored is None else stored
        if status is None or (stored is None and status < 0):
            return RunStatus.CRASHED, f"{self.why_it_ended()}, while its exit handlers ran"
        if status == 0:
            return RunStatus.FINISHED, None
        return RunStatus.FAILED, error if status == 1 and error else f"sys.exit({status})"


def describe_status(status: int) -> str:
    """An exit status, negative for a signal, in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


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
