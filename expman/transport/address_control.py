"""The segment of an address: the words that producers and the writer share, by name.

The byte map is in `layout`. Nothing outside `transport` touches the words but through this class.
"""

from __future__ import annotations

import mmap

from expman.transport import layout, places, segment
from expman.transport.header import check_header, stamp
from expman.transport.words import Flag, Word

__all__ = ["AddressControl"]

_MOST_STARTS = 2**32


class AddressControl:
    """The segment of an address, mapped.

    Args:
        memory: the segment.

    Attributes:
        words: the raw words, for `transport` alone.
    """

    news = Word(layout.NEWS)
    writer_pid = Word(layout.WRITER_PID)
    writer_starts = Word(layout.WRITER_STARTS)
    stopping = Flag(layout.STOPPING)
    given_up = Flag(layout.GIVEN_UP)
    revived = Flag(layout.REVIVED)
    served = Flag(layout.SERVED)

    def __init__(self, memory: mmap.mmap) -> None:
        self.words = memoryview(memory)[: layout.ADDRESS_BYTES].cast("Q")

    @classmethod
    def open(cls, base: segment.Segment) -> AddressControl:
        """The words of an address of this layout.

        Raises:
            CorruptLaneError: it is not an address.
            LayoutVersionError: it is one of another version.
        """
        mapping = base.map()
        check_header(base.name, mapping, layout.MAGIC_ADDRESS, layout.ADDRESS_BYTES)
        return cls(mapping)

    @classmethod
    def create(cls, base: segment.Segment) -> AddressControl:
        """Makes a new segment an address."""
        control = cls(base.map())
        stamp(control.words, layout.MAGIC_ADDRESS)
        return control

    def announce_lane(self) -> None:
        """Has the writer look for new lanes, once one is complete.

        The writer remembers the number before it looks: a lane that it does not find yet changes
        it.
        """
        self.news = places.fresh_number()

    def note_writer(self, pid: int) -> None:
        """Says that one more writer serves the address."""
        starts = self.writer_starts
        self.writer_pid = pid
        self.writer_starts = min(starts, _MOST_STARTS) + 1

    def follow(self, former: AddressControl, pid: int) -> None:
        """Takes over what the segment before this one said, whose name was removed."""
        self.stopping = self.stopping or former.stopping
        self.served = self.served or former.served
        self.writer_starts = max(self.writer_starts, former.writer_starts)
        self.writer_pid = pid
