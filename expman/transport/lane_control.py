"""The control of a lane: how it is made, opened and let go.

Its words are in `lane_words`. Nothing outside `transport` touches them but by their names.
"""

from __future__ import annotations

import errno
import mmap

from expman.errors import CorruptLaneError
from expman.transport import layout
from expman.transport.encoding import UNREADABLE
from expman.transport.header import check_header, stamp
from expman.transport.hello import Hello, decode_hello
from expman.transport.lane_words import LaneWords
from expman.transport.numbering import Reach, term_start

__all__ = ["LaneControl"]


class LaneControl(LaneWords):
    """The control of a lane, mapped.

    Args:
        memory: the control.
        hello: who logs into the lane.
    """

    def __init__(self, memory: mmap.mmap | bytearray, hello: Hello) -> None:
        super().__init__(memory)
        self.hello = hello

    @classmethod
    def create(cls, memory: mmap.mmap, hello: Hello, encoded_hello: bytes) -> LaneControl:
        """Writes what stands in a new lane's control, except HELLO_BYTES, which publishes it."""
        memory[layout.CONTROL_BYTES :] = encoded_hello
        control = cls(memory, hello)
        stamp(control.words, layout.MAGIC_LANE)
        return control

    @classmethod
    def open(cls, name: str, memory: mmap.mmap) -> LaneControl:
        """Checks and reads the control of a lane that its producer has published.

        Args:
            name: the segment's name.
            memory: the segment.

        Raises:
            FileNotFoundError: the hello is not there yet.
            CorruptLaneError: it is not a lane, or it is damaged.
            LayoutVersionError: it is one of another version.
        """
        # Magic, version and the length of the hello stand in the same place in every version.
        head = memoryview(memory)[: 8 * (layout.HELLO_BYTES + 1)]
        length = 0 if len(head) % 8 else head.cast("Q")[-1]
        if not length:
            raise FileNotFoundError(errno.ENOENT, "its producer has not published it yet", name)
        check_header(name, memory, layout.MAGIC_LANE, layout.CONTROL_BYTES)
        try:
            hello = decode_hello(memory[layout.CONTROL_BYTES : layout.CONTROL_BYTES + length])
        except UNREADABLE as exc:
            raise CorruptLaneError(name, layout.CONTROL_BYTES, f"hello: {exc}") from exc
        return cls(memory, hello)

    @classmethod
    def unclaimed(cls, hello: Hello) -> LaneControl:
        """The words of a lane that was never claimed: all zero."""
        return cls(bytearray(layout.CONTROL_BYTES), hello)

    def let_go(self) -> None:
        """Gives the memory back; the words keep their last values."""
        self._bytes = memoryview(bytearray(self.words.cast("B")))
        self.words = self._bytes.cast("Q")

    def remains(self) -> LaneControl:
        """A copy of the words, which needs no shared memory."""
        return LaneControl(bytearray(self.words.cast("B")), self.hello)

    @staticmethod
    def _entry(serial: int) -> int:
        return layout.TERM_TABLE + layout.TERM_WORDS * (serial % layout.TERM_ENTRIES)

    def slot(self, serial: int) -> int:
        """Number of the slot that a term is in."""
        return int(self.words[self._entry(serial)])

    def sealed_word(self, serial: int) -> int:
        """Bytes of a sealed term's data + 1; 0 for an open term."""
        return int(self.words[self._entry(serial) + 1])

    def term_start(self, serial: int) -> Reach | None:
        """Start of a term, as noted by a consumer; None if no consumer has reached it."""
        return term_start(self.words, serial)
