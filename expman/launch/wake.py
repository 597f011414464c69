"""Wakes a thread; safe in signal handlers and finalizers."""

from __future__ import annotations

from queue import Empty, SimpleQueue

__all__ = ["Wake"]


class Wake:
    """Like an Event that is cleared by each wait().

    A signal handler may interrupt set() and set it itself: an Event would wait for its own lock.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[None] = SimpleQueue()

    def is_set(self) -> bool:
        """True if the next wait would end at once."""
        return not self._calls.empty()

    def set(self) -> None:
        """Ends the present wait, or the next one."""
        self._calls.put(None)

    def wait(self, timeout_s: float | None = None) -> None:
        """Waits until it is set, or until the timeout."""
        try:
            self._calls.get(timeout=timeout_s)
            while True:
                self._calls.get_nowait()
        except Empty:
            return
