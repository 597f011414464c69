"""The segment of an address: the words that producers and the writer share, by name.

The byte map is in `layout`. Nothing outside `transport` touches the words but through this class.
"""

from __future__ import annotations

from expman.errors import CorruptLaneError, LayoutVersionError
from expman.transport import layout, segment
from expman.transport.words import Flag, Word

__all__ = ["AddressControl"]

_MOST_STARTS = 2**32


class AddressControl:
    """The segment of an address, mapped.

    Args:
        base: the segment.

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

    def __init__(self, base: segment.Segment) -> None:
        self.words = memoryview(base.map()).cast("Q")

    @classmethod
    def open(cls, base: segment.Segment) -> AddressControl:
        """The words of an address of this layout.

        Raises:
            CorruptLaneError: it is not an address.
            LayoutVersionError: it is one of another version.
        """
        if base.size < layout.ADDRESS_BYTES:
            raise CorruptLaneError(base.name, 0, f"it has {base.size} bytes only")
        control = cls(base)
        words = control.words
        if words[layout.MAGIC] != layout.MAGIC_ADDRESS:
            raise CorruptLaneError(base.name, 0, "no magic number: this is no address")
        if words[layout.VERSION] != layout.LAYOUT_VERSION:
            raise LayoutVersionError(base.name, words[layout.VERSION], layout.LAYOUT_VERSION)
        return control

    def stamp(self) -> None:
        """Makes a new segment an address."""
        self.words[layout.VERSION] = layout.LAYOUT_VERSION
        self.words[layout.MAGIC] = layout.MAGIC_ADDRESS

    def announce_lane(self) -> None:
        """Has the writer look for new lanes, once one is complete.

        The writer remembers the number before it looks: a lane that it does not find yet changes
        it.
        """
        self.news = segment.fresh_number()

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
