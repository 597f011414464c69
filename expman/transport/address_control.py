"""The segment of an address, in which producers and the writer meet.

The address itself, ``expman-TOKEN``, 4096 bytes::

      0  MAGIC "expmanA1"        8  VERSION
     64  NEWS           producer the number of the lane that was claimed last
     72  WRITER_PID     writer   0 while there is none
     80  WRITER_STARTS  writer   how many writers have served this address
     88  STOPPING       writer   1: it takes no new runs
     96  GIVEN_UP       engine   1: it ended before its first lane
    104  REVIVED        both     1: made anew, because the name of the one before was removed
    112  SERVED         writer   1: it has had lanes

A word is one aligned store; see `lane_words` for what is safe in general.
"""

from __future__ import annotations

import mmap

from expman.transport import layout, segment
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

    # Written by: each producer that claims a lane, after the lane is published: the lane's number,
    # which is random.
    # Read by: the writer, which lists the lanes whenever it has changed. A lane of this number
    # that is not listed has lost its name.
    # Safe: the writer remembers the number before it lists. A lane that it does not find was not
    # published yet, and its producer changes the word afterwards.
    # Shown by: test_many_at_once, test_interrupted_constructor_anywhere,
    # test_names_removed_before_the_writer_looks.
    news = Word(layout.NEWS)

    # Written by: the writer that has taken the lock of the address.
    # Read by: the same writer and people. Who serves is decided by the lock alone.
    # Safe: one process at a time holds the lock.
    # Shown by: test_killed_again_and_again, test_ways_to_name_it.
    writer_pid = Word(layout.WRITER_PID)
    writer_starts = Word(layout.WRITER_STARTS)

    # Written by: the writer, before it removes the name, or once it is to end; a standing successor
    # clears it.
    # Read by: engines that look for a shared writer, and a successor.
    # Safe: an engine that reads 0 too early claims a lane and looks for the name afterwards, the
    # writer removes the name first and looks for lanes afterwards: one sees the other.
    # Shown by: test_a_writer_that_has_ended, test_told_to_end_while_a_run_is_live.
    stopping = Flag(layout.STOPPING)

    # Written by: the engine that made the address, if it ends before its first lane.
    # Read by: the writer, which ends.
    # Safe: only set, and the name is removed right after.
    # Shown by: test_interrupted_constructor_anywhere.
    given_up = Flag(layout.GIVEN_UP)

    # Written by: the process that makes an address anew, before it gets its name.
    # Read by: the writer: lanes may have lost their names, too.
    # Safe: the name comes by a link, so no process sees the segment before this store.
    # Shown by: test_names_removed, test_worker_after_names_were_removed.
    revived = Flag(layout.REVIVED)

    # Written by: the writer, with the first lane that it takes.
    # Read by: a successor, and who looks for leftovers: an address that had lanes and has none is
    # to be removed.
    # Safe: only set.
    # Shown by: test_killed_at_each_point.
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

    def announce_lane(self, number: int) -> None:
        """Has the writer look for new lanes, once the one of this number is complete.

        The writer remembers the number before it looks: a lane that it does not find yet changes
        it.
        """
        self.news = number

    def note_writer(self, pid: int) -> None:
        """Notes that one more writer serves the address."""
        starts = self.writer_starts
        self.writer_pid = pid
        self.writer_starts = min(starts, _MOST_STARTS) + 1

    def follow(self, former: AddressControl, pid: int) -> None:
        """Takes over the words of the segment before this one, whose name was removed."""
        self.stopping = self.stopping or former.stopping
        self.served = self.served or former.served
        self.writer_starts = max(self.writer_starts, former.writer_starts)
        self.writer_pid = pid
