"""Finds out why an owner ended, as far as that is possible."""

from __future__ import annotations

import signal
from collections.abc import Callable

from expman.models import RunStatus
from expman.transport.hello import Hello
from expman.writer.memory_kills import MemoryKills
from expman.writer.process_end import ProcessEnd

__all__ = ["OwnerPostMortem", "describe_status"]


class OwnerPostMortem:
    """Keeps what is needed to find out later why the owner ended.

    `ask_parent` returns its exit status where the writer is its parent (`expman-writer run`),
    negative for a signal. Elsewhere it may be known, see `ProcessEnd`.

    Args:
        hello: the owner's.
        end: its process.
    """

    ask_parent: Callable[[int], int | None] = staticmethod(lambda pid: None)

    def __init__(self, hello: Hello, end: ProcessEnd | None = None) -> None:
        self._pid = hello.pid
        self._kills = MemoryKills(hello.pid)
        self._end = end

    def look(self) -> None:
        """Notes what can be known only while the owner lives; call it again and again."""
        self._kills.look()

    def why_it_ended(self, when: str = "") -> str:
        """The reason, in one line."""
        text = f"the owner process (pid {self._pid}) ended without closing the run{when}"
        status = self._exit_status()
        if status is not None:
            text += f": {describe_status(status)}"
        elif self._end is not None and self._end.runs_on:
            text += ": it runs on as another program (exec), or without expman's memory"
        if self._kills.are_recent:
            text += "; its cgroup ran out of memory and the kernel killed a process (OOM)"
        elif status == -signal.SIGKILL and self._kills.are_counted:
            text += "; not for lack of memory, by the counter of its cgroup"
        return text

    def status_of_exit(self, stored: int | None, error: str | None) -> tuple[RunStatus, str | None]:
        """The status of a run whose owner ended with it, and the reason.

        Args:
            stored: what the owner gave exit(), see `exit_record`.
            error: an exception that the owner showed. It may have ended the program, or may be
                an interactive user's mistake that was mended.
        """
        status = self._exit_status() if stored is None else stored
        if status is None or (stored is None and status < 0):
            return RunStatus.CRASHED, self.why_it_ended(", while its exit handlers ran")
        if status == 0:
            return RunStatus.FINISHED, None
        return RunStatus.FAILED, error if status == 1 and error else f"sys.exit({status})"

    def _exit_status(self) -> int | None:
        status = self.ask_parent(self._pid)
        return self._end.status() if status is None and self._end is not None else status


def describe_status(status: int) -> str:
    """An exit status, negative for a signal, in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
