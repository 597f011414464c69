"""A term of a lane, and the memory that it lies in, as its producer has them."""

from __future__ import annotations

import contextlib
import mmap
import sys
import weakref
from collections.abc import Iterator
from operator import length_hint

from expman.transport import layout, segment
from expman.transport.cutoff import CutoffWatch, WatchedIndex
from expman.transport.header import stamp
from expman.transport.numbering import Reach
from expman.transport.once import Once

__all__ = ["Slot", "Term", "TermData", "TermIndex"]

_LOW, _HIGH = (0, 3) if sys.byteorder == "little" else (3, 0)  # bytes of an index entry


class Slot:
    """Memory that serves one term after the other.

    Attributes:
        number: its part of the segment's name.
        segment: the memory.
        spare: mappings of it that have served no term yet.
        used: mappings of it, each with the last term that it served.
    """

    def __init__(self, number: int, memory: segment.Segment) -> None:
        self.number = number
        self.segment = memory
        self.spare: list[mmap.mmap] = []
        self.used: list[tuple[weakref.ref[Term], mmap.mmap]] = []

    def map(self) -> mmap.mmap:
        """A mapping for one term alone; an idle one saves a system call and its page faults."""
        return self.idle() or self.segment.map()

    def idle(self) -> mmap.mmap | None:
        """Takes out a mapping whose term is no longer held.

        A weak reference without a callback shows that. A `__del__` of the term would be Python
        code, which swallows what a signal handler raises in it.
        """
        with contextlib.suppress(IndexError):
            return self.spare.pop()
        for entry in self.used.copy():
            if entry[0]() is None:
                with contextlib.suppress(ValueError):  # a call in between took it
                    self.used.remove(entry)
                    return entry[1]
        return None

    @property
    def is_claimed(self) -> bool:
        """True if a call has made a term in it that does not follow another one yet."""
        terms = (last() for last, _ in self.used.copy())
        return any(term is not None and not term.placed for term in terms)


class TermData:
    """The data area of a term. Records are appended by `write`, which is `mmap.write`.

    Why no lock is needed: `mmap.write` takes the position, checks the bounds and copies in one C
    call, and the GIL lets no other thread in between. So records never overlap, and a filled area
    takes no more. `tests/process/test_threads.py` shows it.

    Attributes:
        mapping: the whole term.
        write: appends a record; raises ValueError if there is no room for it.
    """

    def __init__(self, mapping: mmap.mmap) -> None:
        self.mapping = mapping
        self.write = mapping.write
        self._fillers: list[int] = []
        mapping.seek(layout.data_offset(len(mapping)))

    @property
    def room(self) -> int:
        """Bytes that are free."""
        return len(self.mapping) - self.mapping.tell()

    def fill(self) -> None:
        """Takes the rest, so that no append can succeed any more. May be called again."""
        while not self._fillers:
            rest = bytes(self.room)
            try:  # written and noted in one step: of several calls the first one counts
                self._fillers.extend(map(self.write, (rest,)))
            except ValueError:  # another call appended in between
                continue

    @property
    def sealed_word(self) -> int:
        """The bytes of its records + 1; 0 while it is open."""
        if not self._fillers:
            return 0
        size = len(self.mapping)
        return size - self._fillers[0] - layout.data_offset(size) + 1


class TermIndex:
    """The index of a term: a call takes an ordinal, and stores its record's length there.

    The length publishes the record. It is stored after the record was appended, in one instruction
    (an aligned item of a memoryview), by the call that took the ordinal and by nobody else. The
    consumer reads it and then the record. On x86-64 it sees the stores in this order; elsewhere it
    takes only entries that it saw at its previous poll (`open_term`). A process that is killed
    between the two stores leaves an empty entry and bytes that `salvage` reads.
    `tests/property/test_lane.py` and `tests/process/test_kill_trainer.py` show it.

    Attributes:
        ordinals: gives each ordinal once; `next` is one C call. It ends with the index: calls that
            fail use up ordinals and no data, and a record in the data must have an entry.
        lengths: the entries.
        published: what a call stores the length through; a worker's looks at the run's end, too.
    """

    def __init__(self, data: TermData, serial: int, cutoff: CutoffWatch | None) -> None:
        count = layout.index_entries(len(data.mapping))
        start = layout.INDEX_OFFSET
        self.lengths = memoryview(data.mapping)[start : start + 4 * count].cast("I")
        self.ordinals: Iterator[int] = iter(range(count))
        self.published: memoryview | WatchedIndex = self.lengths
        if cutoff is not None:
            self.published = WatchedIndex(cutoff, serial, self.lengths, data.fill)

    def count(self, data_bytes: int) -> tuple[int, int]:
        """Rows and records in the data, at 3 ns per row.

        An entry that was taken and is still empty belongs to a call that was interrupted, or to a
        thread between its append and its store. The bytes show whether there are any of the latter;
        where there are some of both, all count.

        Args:
            data_bytes: how much of the data has records.
        """
        taken = len(self.lengths) - length_hint(self.ordinals)
        entries = self.lengths[:taken]
        raw = bytes(entries)
        high = raw[_HIGH::4]
        marked = high.count(layout.OTHER >> 24) + high.count(0xFF)
        if marked + high.count(0) == taken and not raw[_LOW::4].count(0):
            return taken - marked, taken - high.count(0xFF)
        lengths = entries.tolist()
        void = lengths.count(layout.VOID)
        other = sum(layout.OTHER <= length < layout.VOID for length in lengths)
        if sum(map(layout.record_bytes, lengths)) == data_bytes:
            taken -= lengths.count(0)
        return taken - void - other, taken - void


class Term:
    """A term. As long as anybody holds it, its mapping's position only advances.

    A thread that was held up with an old term in hand finds the data filled and gets ValueError,
    even if the slot's memory serves a later term by then: that one has another mapping. Only when
    nobody holds the old term any more may its mapping begin anew.
    `test_a_row_that_was_held_up_comes_once` shows it.

    Args:
        serial: its number among the lane's terms.
        slot: the memory it lies in.
        mapping: a mapping of the slot that no other term has.
        cutoff: a worker's, see `cutoff`.

    Attributes:
        data: its data area.
        index: its index.
        after: the term that follows, or None if it is the lane's last.
        placed: it follows another term, or another one was faster.
        released: its memory may serve a later term.
        defined: numbers of the schemas that are defined in it.
        start: how far the terms before it reach.
        drops: dropped rows that records in it report.
    """

    def __init__(
        self, serial: int, slot: Slot, mapping: mmap.mmap, cutoff: CutoffWatch | None = None
    ) -> None:
        self.slot = slot
        self.placed = False
        slot.used.append((weakref.ref(self), mapping))
        self.serial = serial
        self.after: Once[Term | None] = Once()
        self.released = False
        self.defined: set[int] = set()
        self.start = Reach()
        self.drops: list[int] = []
        self._end: Once[Reach] = Once()
        words = memoryview(mapping)[: layout.INDEX_OFFSET].cast("Q")
        words[layout.INDEX_ENTRIES] = layout.index_entries(len(mapping))
        words[layout.DATA_OFFSET] = layout.data_offset(len(mapping))
        stamp(words, layout.MAGIC_TERM)
        self.data = TermData(mapping)
        self.index = TermIndex(self.data, serial, cutoff)

    def void(self, ordinal: int) -> None:
        """Marks an ordinal that no record will have.

        A call that was held up may come here after the term's release, when the entry is another
        term's. No thread switch can happen between the look and the store.
        `test_a_failed_call_that_was_held_up_harms_no_later_term` shows it.
        """
        if not self.released:
            self.index.lengths[ordinal] = layout.VOID

    @property
    def end(self) -> Reach:
        """End of the term, once its data is filled; the same for every call."""
        found = self._end.get(None)
        if found is None:
            rows, records = self.index.count(self.data.sealed_word - 1)
            drops, start = sum(self.drops), self.start
            found = self._end.settle(
                Reach(start.rows + rows + drops, start.records + records, start.drops + drops)
            )
        return found
