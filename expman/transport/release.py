"""Giving the memory of terms back to the producer, once their records are in files.

DRAINED_TERMS is stored before the first byte is zeroed, RELEASED_TERMS after the last one. A
successor of a writer that was killed in between finds DRAINED above RELEASED: it reads nothing of
those terms, and zeroes them (`test_a_successor_of_one_killed_in_release`).
"""

from __future__ import annotations

from collections.abc import Iterable

from expman.failpoints import hit
from expman.transport import records as wire
from expman.transport.bulk_decode import Rows
from expman.transport.lane_control import LaneControl
from expman.transport.lane_memory import LaneMemory
from expman.transport.open_term import OpenTerm

__all__ = ["TermRelease"]


class TermRelease:
    """The terms of a lane that were read to their end, the oldest first.

    The one with the sentinel is never given back: a successor reads it again, and finds how the
    run ended.

    Args:
        control: the lane's control.

    Attributes:
        held_from: serial of the first term that must stay for what is not written yet, or None.
    """

    def __init__(self, control: LaneControl) -> None:
        self._control = control
        self.held_from: int | None = None
        self._read: list[tuple[int, OpenTerm]] = []
        self._last: int | None = None  # the term with the sentinel

    def finish(self, memory: LaneMemory) -> None:
        """Completes what a killed predecessor began."""
        control = self._control
        released, drained = control.released_terms, control.drained_terms
        for serial in range(released, min(drained, control.opened_terms)):
            slot = control.slot(serial)
            try:
                found = memory.slot(slot)
            except (FileNotFoundError, PermissionError):
                continue
            OpenTerm(str(slot), found).wipe_all()
        if drained > released:
            control.released_terms = drained

    def look_for_sentinel(self, taken: Iterable[wire.Record | Rows], serial: int) -> None:
        """Keeps the term in which the sentinel was."""
        if wire.Sentinel in map(type, taken):
            self._last = serial

    def add(self, serial: int, term: OpenTerm) -> None:
        """Adds a term that was read to its end."""
        self._read.append((serial, term))

    @property
    def is_possible(self) -> bool:
        """True if there are terms to give back."""
        if not self._read:
            return False
        first = self._read[0][0]
        return first != self._last and (self.held_from is None or first < self.held_from)

    @property
    def held_bytes(self) -> int:
        """Memory that can be given back, now or once nothing holds it."""
        return sum(term.size for serial, term in self._read if serial != self._last)

    def release(self) -> None:
        """Gives back every term that is not held. Call it once all the rest is written."""
        control = self._control
        while self.is_possible:
            serial, term = self._read[0]
            hit("release-before-drained")
            control.drained_terms = serial + 1
            hit("release-before-wipe")
            term.wipe()
            hit("release-after-wipe")
            control.released_terms = serial + 1
            del self._read[0]

    def clear(self) -> None:
        """Lets go of the terms."""
        self._read.clear()
