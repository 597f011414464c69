"""Warnings for the user, by the logger "expman".

Handlers are the user's: they may raise, wait for a lock or for another thread, or log into the
run that the notice is about. None of it may end a log call or hold up the supervisor.
"""

from __future__ import annotations

import os
import threading
from collections import deque

from expman.late_imports import no_fork

__all__ = ["warn", "warn_aside"]

MOST_WAITING = 64
"""Notices that wait for a handler; the oldest ones go first."""


def warn(text: str) -> None:
    """Warns in this thread; what a handler raises is dropped."""
    try:
        _log(text)
    except Exception:  # noqa: BLE001 - a handler may raise anything, and no log call may
        return


def _log(text: str) -> None:
    with no_fork():
        import logging  # a tenth of the time of `import expman`; most runs have no notices

    logging.getLogger("expman").warning("%s", text)


def warn_aside(text: str) -> None:
    """Warns from another thread. Never waits and never raises, whatever handlers do."""
    _aside.add(text)


class _Aside:
    """Notices on their way to the handlers, and the thread that brings them there.

    The thread ends when nothing is left, so that a program without notices has no such thread.
    Where a handler never returns, that thread is lost and notices are dropped.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[str] = deque(maxlen=MOST_WAITING)
        self._busy = False

    def add(self, text: str) -> None:
        with self._lock:
            self._waiting.append(text)
            if self._busy:
                return
            self._busy = True
        try:
            threading.Thread(target=self._deliver, name="expman-notices", daemon=True).start()
        except RuntimeError:  # no more threads: the next notice tries again
            self._busy = False

    def _deliver(self) -> None:
        while (text := self._next()) is not None:
            try:
                _log(text)
            except BaseException:  # noqa: BLE001 - the top of a thread, SystemExit would end it
                continue

    def _next(self) -> str | None:
        with self._lock:
            self._busy = bool(self._waiting)
            return self._waiting.popleft() if self._busy else None


def _start_anew() -> None:
    """In a forked child: the thread is not there, and may have held the lock."""
    global _aside
    _aside = _Aside()


_aside = _Aside()
os.register_at_fork(after_in_child=_start_anew)
