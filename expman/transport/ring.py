"""The terms of a lane, as its producer sees them: opened one after the other, used again."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

from expman.errors import SharedMemoryError
from expman.transport import layout, segment

__all__ = ["Ring", "Term"]

FIRST_TERM_BYTES = 256 * 1024
LARGEST_TERM_BYTES = 1024 * 1024
"""Making a term stalls one call, and the time grows with its size. See `_largest_term`."""


class _Slot:
    """Memory for one term after the other.

    Attributes:
        number: its part of the segment's name.
        segment: the memory.
        spare: mappings of it that nobody has in hand.
    """

    def __init__(self, number: int, memory: segment.Segment) -> None:
        self.number = number
        self.segment = memory
        self.spare: list[mmap.mmap] = []

    def map(self) -> mmap.mmap:
        """A mapping that nobody else has; a spare one saves the making, and its page faults."""
        try:
            return self.spare.pop()
        except IndexError:
            return self.segment.map()


class Term:
    """The open term. As long as anybody has it in hand, its mapping's position only advances.

    A thread that was held up with an old term in hand finds its position at the end and
    gets ValueError, even if the slot's memory serves a later term by then: that one has
    another mapping. Only when nobody has the old term any more may its mapping begin anew.
    """

    def __init__(self, serial: int, slot: _Slot, data: mmap.mmap) -> None:
        self.slot = slot
        self.data = data
        self.serial = serial
        size = slot.segment.size
        words = memoryview(self.data)[: layout.INDEX_OFFSET].cast("Q")
        words[layout.VERSION] = layout.LAYOUT_VERSION
        words[layout.INDEX_ENTRIES] = layout.index_entries(size)
        words[layout.DATA_OFFSET] = layout.data_offset(size)
        words[layout.MAGIC] = layout.MAGIC_TERM
        start = layout.INDEX_OFFSET
        self.index = memoryview(self.data)[start : start + 4 * layout.index_entries(size)].cast("I")
        self.data_offset = layout.data_offset(size)
        self.data.seek(self.data_offset)
        # It ends with the index: calls that fail use up ordinals and no data, and a record
        # that is in the data must have an entry.
        self.ordinal: Iterator[int] = iter(range(layout.index_entries(size)))
        self.defined: set[int] = set()
        """Numbers of the schemas that are defined in this term."""
        self.released = False
        """Whether its memory may serve a later term."""
        self._sealed_bytes: int | None = None

    def __del__(self) -> None:
        self.slot.spare.append(self.data)

    def void(self, ordinal: int) -> None:
        """Marks an ordinal that no record will have.

        A held-up call may come here after the term's release, when the entry is another term's.
        No thread switch can happen between the look and the store.
        """
        if not self.released:
            self.index[ordinal] = layout.VOID

    def close_door(self) -> int:
        """Fills the rest, so that no append can succeed any more; returns the bytes before it."""
        while self._sealed_bytes is None:
            end = self.data.tell()
            try:
                self.data.write(bytes(len(self.data) - end))
            except ValueError:  # another thread appended in between
                continue
            self._sealed_bytes = end - self.data_offset
        return self._sealed_bytes


class Ring:
    """Opens, seals and reuses the terms of one lane. Not thread-safe; the producer locks.

    A signal handler or a finalizer that logs may run in the middle of `advance`, in the same
    thread, all the same: whoever enters the next term first wins, the other's slot stays free.

    Args:
        address: whose lane it is.
        lane: the lane's number.
        words: the lane's control.
        max_bytes: limit of all terms together.
        slots: how many to make at once; two spare the first change of terms the making.

    Raises:
        SharedMemoryError: if no memory can be had for the first term.
    """

    def __init__(
        self,
        address: segment.Address,
        lane: int,
        words: memoryview,
        max_bytes: int,
        slots: int,
    ) -> None:
        self._address = address
        self._lane = lane
        self._words = words
        self._max_bytes = max_bytes
        self._largest = _largest_term(max_bytes)
        self._slots: list[_Slot] = []
        self._slots_made = 0
        self._busy: dict[int, Term] = {}  # by serial, until released
        self.term: Term
        first = self._new_slot(0)
        self._enter(Term(0, first, first.map()), None)
        self._note_use()
        while self._slots_made < slots and self._unused_bytes() >= 4 * mmap.PAGESIZE:
            try:
                slot = self._new_slot(0)
            except SharedMemoryError:
                break
            slot.spare.append(slot.segment.map())

    def seal(self, term: Term) -> None:
        """Ends a term: nothing can be appended to it any more. Twice is fine."""
        entry = layout.TERM_TABLE + 2 * (term.serial % layout.TERM_ENTRIES)
        self._words[entry + 1] = term.close_door() + 1

    def advance(self, full: Term, record_bytes: int) -> bool:
        """Seals the open term, which is `full`, and opens one that a record fits into.

        Returns:
            False, if there is no memory before the writer releases some. The open term is
            sealed if only its own memory can make room.
        """
        if self.term is not full:
            return True
        slot = self._find_slot(self._need(record_bytes))
        if slot is None:
            if len(self._busy) == 1:
                self.seal(full)
            return False
        term = Term(full.serial + 1, slot, slot.map())
        self.seal(full)
        self._enter(term, full)
        self._note_use()
        return True

    def can_ever_hold(self, record_bytes: int) -> bool:
        """Whether a record of this size fits into the largest possible term."""
        return self._need(record_bytes) <= self._max_bytes

    def _need(self, record_bytes: int) -> int:
        need = record_bytes + layout.INDEX_OFFSET + 64
        return need + need // (layout.MIN_RECORD_BYTES // 4) + mmap.PAGESIZE

    def _new_slot(self, need: int) -> _Slot:
        """Creates the next slot.

        Raises:
            SharedMemoryError: no room.
        """
        number = self._slots_made
        wanted = _term_bytes(number, self._largest)
        size = max(min(wanted, self._unused_bytes()), need)
        size = size // mmap.PAGESIZE * mmap.PAGESIZE
        while True:
            try:
                name = self._address.segment(self._lane, number)
                new = segment.create(self._address.place, name, size)
                break
            except FileExistsError:  # left by a call that a signal handler interrupted
                number += 1
            except OSError as exc:
                if exc.errno is None:
                    raise  # a signal handler's TimeoutError
                if size // 2 < max(need, 4 * mmap.PAGESIZE):
                    raise SharedMemoryError(size, [f"{self._address.place}: {exc}"]) from exc
                size //= 2
        slot = _Slot(number, new)
        self._slots.append(slot)
        self._slots_made = number + 1
        self._words[layout.LANE_BYTES] = self._max_bytes - self._unused_bytes()
        return slot

    def _enter(self, term: Term, after: Term | None) -> None:
        """Makes a term the open one, unless that was done by a call in between.

        Nothing is called in here, so a signal handler sees all of it or nothing.
        """
        if after is not None and self.term is not after:
            return
        entry = layout.TERM_TABLE + 2 * (term.serial % layout.TERM_ENTRIES)
        self._words[entry] = term.slot.number
        self._words[entry + 1] = 0
        self._busy[term.serial] = term
        self.term = term
        self._words[layout.OPENED_TERMS] = term.serial + 1

    def _note_use(self) -> None:
        in_use = sum(term.slot.segment.size for term in list(self._busy.values()))
        if in_use > self._words[layout.HIGH_WATER]:
            self._words[layout.HIGH_WATER] = in_use

    def _find_slot(self, need: int) -> _Slot | None:
        """A slot for the next term: a released one, else a new one within the limit."""
        released = self._words[layout.RELEASED_TERMS]
        for serial, term in list(self._busy.items()):
            if serial < released:
                term.released = True
                self._busy.pop(serial, None)
        if self.term.serial + 1 - released >= layout.TERM_ENTRIES:
            return None
        busy = {term.slot.number for term in list(self._busy.values())}
        free = [s for s in self._slots if s.number not in busy and s.segment.size >= need]
        if free:
            return max(free, key=lambda slot: slot.segment.size)
        wanted = max(need, 4 * mmap.PAGESIZE)
        for slot in [slot for slot in self._slots if slot.number not in busy]:
            if self._unused_bytes() >= wanted:
                break
            self._slots.remove(slot)  # all free ones are too small for a large record
            slot.segment.unlink()
            slot.segment.close()
        if self._unused_bytes() < wanted:
            return None
        try:
            return self._new_slot(need)
        except SharedMemoryError:
            return None  # the place is full: go on with what there is

    def _unused_bytes(self) -> int:
        return self._max_bytes - sum(slot.segment.size for slot in self._slots)


def _term_bytes(number: int, largest: int) -> int:
    """Size of a slot: every second one is twice as large as those before."""
    return min(FIRST_TERM_BYTES << min(number // 2, 16), largest)


def _largest_term(max_bytes: int) -> int:
    """The least size with which as many terms as can be in use at once add up to the limit."""
    largest = LARGEST_TERM_BYTES
    while sum(_term_bytes(n, largest) for n in range(layout.TERM_ENTRIES - 1)) < max_bytes:
        largest += largest // 16
    return min(largest, max_bytes // 2)
