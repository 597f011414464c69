"""A lane, read by a process that neither logs into it nor drains it.

Nothing is written to the memory, and no lock is asked for or taken. A term may be emptied and
used again while it is copied. The writer stores DRAINED_TERMS before it touches the first byte,
so a copy counts only if that word has not passed the term when the copy is complete
(`test_peek_while_the_writer_reuses_terms`).

A process that logs must never close a descriptor of its own lane's control: the kernel would
drop the lock that shows that it lives. Those controls are opened once and stay open
(`test_peeking_at_a_run_of_the_same_process`).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

from expman.errors import CorruptLaneError, LayoutVersionError
from expman.transport import layout, places, segment
from expman.transport.address import find_all_lanes
from expman.transport.lane_control import LaneControl
from expman.transport.liveness import lives
from expman.transport.open_term import OpenTerm, published_records
from expman.transport.records import Record

__all__ = ["LaneView", "all_lanes"]

_kept: dict[tuple[int, int], tuple[segment.Segment, mmap.mmap]] = {}
"""Controls of lanes that this process has locked, by device and inode."""


class LaneView:
    """A lane, for reading only.

    Args:
        address: whose lane it is.
        number: its number.

    Attributes:
        name: name of its control.
        control: its words.

    Raises:
        OSError: it is gone, or its producer has not published it yet.
        CorruptLaneError, LayoutVersionError: it cannot be read.
    """

    def __init__(self, address: segment.Address, number: int) -> None:
        self.name = address.segment(number)
        self._address = address
        self._number = number
        self.control = LaneControl.open(self.name, _map_control(address.place, self.name))

    @property
    def run_dir(self) -> str:
        """Directory of its run."""
        return self.control.hello.run_dir

    @property
    def producer(self) -> str:
        """Its producer's name in the files; the wished one until a writer has given it one."""
        hello = self.control.hello
        if not self.control.adopted:
            return hello.producer
        return hello.producer_name(self.control.name_number)

    @property
    def is_owner(self) -> bool:
        """True if it is the lane of the run's owner."""
        return self.control.hello.role == "owner"

    def producer_alive(self) -> bool:
        """True if the process that claimed the lane lives."""
        if segment.is_locked_here(self._address.place, self.name):
            return True
        try:
            control = segment.attach(self._address.place, self.name)
        except FileNotFoundError:
            return False
        try:
            return lives(control, self.control.hello.pid)
        finally:
            control.close()

    def records(self, serial: int) -> list[Record] | None:
        """The published records of a term; None if the writer has emptied it."""
        name = self._address.segment(self._number, self.control.slot(serial))
        try:
            slot = segment.attach_to_read(self._address.place, name)
            try:
                memory = slot.copy()
            finally:
                slot.close()
        except OSError:
            return None
        if self.control.drained_terms > serial or len(memory) < layout.INDEX_OFFSET:
            return None
        return published_records(OpenTerm(name, memory))


def all_lanes() -> Iterator[LaneView]:
    """Every lane of this user on this machine that can be read."""
    for address, numbers in find_all_lanes():
        for number in numbers:
            try:
                yield LaneView(address, number)
            except (OSError, CorruptLaneError, LayoutVersionError):
                continue


def _map_control(place: str, name: str) -> mmap.mmap:
    for key, (known, _) in list(_kept.items()):
        if not segment.links(known):  # the lane is gone, and its lock with it
            del _kept[key]
            known.close()
    info = os.stat(places.path_of(place, name))
    kept = _kept.get((info.st_dev, info.st_ino))
    if kept is not None:
        return kept[1]
    control = segment.attach_to_read(place, name)
    is_own = segment.is_locked_here(place, name)
    try:
        mapping = control.map_to_read()
        if is_own:
            _kept[control.identity] = control, mapping
    finally:
        if not is_own:
            control.close()
    return mapping
