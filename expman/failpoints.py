"""Named points where a test makes something go wrong. Without EXPMAN_FAILPOINTS they do nothing.

EXPMAN_FAILPOINTS is a comma-separated list of ``point=action@n``: at the n-th passage (from 1,
default 1) of the point in a process,

- ``kill``, ``stop``, ``exit``: the process gets SIGKILL, gets SIGSTOP, ends with status 70;
- ``wait``: the thread waits as long as PATH exists;
- an errno name, ``EIO``, ``ENOSPC``, …: OSError is raised, at that passage and every later one;
- a built-in exception, ``RuntimeError``, ``MemoryError``, …: the same.

``point=action@n:PATH`` acts only as long as PATH exists, and `kill`, `stop` and `exit` remove
it first: a successor passes unharmed. `tests/process` drives these; nobody else sets them.
"""

from __future__ import annotations

import builtins
import errno
import os
import signal
import time

__all__ = ["awaits", "hit"]


class _Fault:
    def __init__(self, text: str) -> None:
        self.point, _, rest = text.partition("=")
        rest, _, self.path = rest.partition(":")
        self.action, _, number = rest.partition("@")
        self.number = int(number or 1)
        self.passages = 0

    def pass_by(self) -> None:
        self.passages += 1
        if self.passages < self.number or (self.path and not os.path.exists(self.path)):
            return
        if self.action == "wait":
            while os.path.exists(self.path):
                time.sleep(0.005)
            return
        if self.action not in ("kill", "stop", "exit"):
            self._fail()
        if self.passages > self.number and not self.path:
            return
        if self.path:
            os.unlink(self.path)
        if self.action == "exit":
            os._exit(70)
        os.kill(os.getpid(), signal.SIGKILL if self.action == "kill" else signal.SIGSTOP)

    def _fail(self) -> None:
        kind = getattr(builtins, self.action, None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            raise kind(f"wanted by a test at {self.point}")
        code = getattr(errno, self.action)
        raise OSError(code, os.strerror(code))


_faults = [_Fault(text) for text in os.environ.get("EXPMAN_FAILPOINTS", "").split(",") if text]


def hit(point: str) -> None:
    """Passes a named point.

    Raises:
        Exception: if a test wants it to.
    """
    for fault in _faults:
        if fault.point == point:
            fault.pass_by()


def awaits(point: str) -> bool:
    """True if a test waits for the point: only then is there a first half of a write."""
    return any(fault.point == point for fault in _faults)
