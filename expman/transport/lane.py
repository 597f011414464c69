"""A lane, as the process that claimed it has it: its control and its terms."""

from __future__ import annotations

from expman.transport import layout, ring, segment
from expman.transport.address import claim_lane
from expman.transport.hello import Hello, encode_hello

__all__ = ["Lane", "remains_of"]


class Lane:
    """A lane of this process's own.

    Args:
        address: where the writer looks for lanes.
        hello: who logs, and into which run.
        slots: terms that memory is made for at once.

    Attributes:
        number: by which the writer finds it.
        control: its control; the lock on it says that this process lives.
        words: the control's words.
        ring: its terms.

    Raises:
        FileNotFoundError: the address is gone.
        SharedMemoryError, OSError: there is no memory for it.
    """

    def __init__(self, address: segment.Address, hello: Hello, slots: int) -> None:
        encoded = encode_hello(hello)
        self._address = address
        self.number, self.control = claim_lane(address, layout.CONTROL_BYTES + len(encoded))
        try:
            # Before anybody can look: the lock is what says that this process lives.
            self.control.try_lock()
            mapping = self.control.map()
            self.words = memoryview(mapping)[: layout.CONTROL_BYTES].cast("Q")
            self.words[layout.VERSION] = layout.LAYOUT_VERSION
            self.words[layout.MAGIC] = layout.MAGIC_LANE
            mapping[layout.CONTROL_BYTES :] = encoded
            self.ring = ring.Ring(address, self.number, self.words, hello.max_buffer_bytes, slots)
        except BaseException:
            self.control.unlink()
            self.control.close()
            raise
        self.words[layout.HELLO_BYTES] = len(encoded)

    def seal(self) -> None:
        """Closes it: no record comes any more. Twice is fine."""
        self.ring.end()
        self.words[layout.LANE_CLOSED] = 1

    def give_back(self) -> None:
        """Closes it, empty: the run began to end while it was claimed.

        The writer removes it. But where it has removed the address before it could find the
        lane, nobody would: then it is removed here. (Claimed first and looked afterwards, here;
        removed first and looked afterwards, there: one of the two sees the other.)
        """
        self.seal()
        if not segment.exists(self._address.place, self._address.segment()):
            self.control.unlink()
            segment.remove(self._address.place, self._address.segment(self.number, 0))


def remains_of(lane: Lane | None) -> Lane:
    """What is left of a lane whose memory is given back: its number, its control's last words."""
    left = Lane.__new__(Lane)
    end = layout.TROUBLE_OFFSET // 8
    left.number = -1 if lane is None else lane.number
    words = bytes(8 * end) if lane is None else bytes(lane.words[:end])
    left.words = memoryview(bytearray(words)).cast("Q")
    return left
