"""Lifetime of a writer: it decides when to stop serving its address."""

from __future__ import annotations

import signal
import time

from expman.transport.liveness import mark_of
from expman.writer.held import HeldAddress

__all__ = ["DRAIN_S", "Lifetime"]

DRAIN_S = 10.0
"""How long a writer goes on with its runs after a signal to end."""


class Lifetime:
    """Decides when a writer has nothing left to do.

    Args:
        held: its address.
        standing: it goes on without runs, until it gets a signal to end.
        starter: the process that started it, see `mark_of`.

    Attributes:
        is_standing: it goes on without runs.
        has_served: it, or a predecessor that was about to end, has had lanes.
        stop_reason: the signal to end that it got, in words.
    """

    def __init__(self, held: HeldAddress, *, standing: bool, starter: str) -> None:
        self._held = held
        self._starter = starter
        self._deadline: float | None = None
        self.is_standing = standing
        self.stop_reason: str | None = None
        # A predecessor was removing the address: it may have removed the last lane before.
        self.has_served = held.control.stopping and held.control.served
        if standing:
            held.control.stopping = False

    def note_served(self) -> None:
        """Notes that lanes were claimed."""
        self.has_served = self._held.control.served = True

    def stop_soon(self, number: int) -> bool:
        """Notes a signal to end, and takes no new runs; False: an earlier one was noted."""
        if self._deadline is not None:
            return False
        self._deadline = time.monotonic() + DRAIN_S
        self._held.control.stopping = True
        self.stop_reason = f"the writer got {signal.Signals(number).name} before"
        return True

    @property
    def is_over(self) -> bool:
        """True if it must leave the runs that it still has."""
        return self._deadline is not None and time.monotonic() > self._deadline

    @property
    def is_finished(self) -> bool:
        """True if there is nothing to wait for, once there is no run."""
        return self._deadline is not None if self.is_standing else self.has_served

    @property
    def is_unwanted(self) -> bool:
        """True if who started this writer has ended, or given up, before the first lane."""
        return not self.is_standing and (self._held.control.given_up or self._starter_is_gone())

    def _starter_is_gone(self) -> bool:
        # Not the parent's id: where it died before we could look, ours is process 1, or any other.
        pid = self._starter.partition(":")[0]
        return bool(pid) and mark_of(int(pid)) != self._starter
