"""The terms of a lane, as its producer sees them: opened one after the other, used again."""

from __future__ import annotations

import contextlib
import mmap
import sys
import weakref
from collections.abc import Iterator
from operator import length_hint

from expman.errors import SharedMemoryError
from expman.transport import layout, places, segment
from expman.transport.numbering import Reach, note_end
from expman.transport.once import Once

__all__ = ["Ring", "Term"]

FIRST_TERM_BYTES = 256 * 1024
LARGEST_TERM_BYTES = 1024 * 1024
"""Making a term stalls one call, and the time grows with its size. See `_largest_term`."""
_DOUBLINGS = 16
"""Later terms are at most 2**16 times as large as the first one: 16 GiB."""
_LOW, _HIGH = (0, 3) if sys.byteorder == "little" else (3, 0)  # bytes of an index entry


class _Slot:
    """Memory for one term after the other.

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
        """A mapping that nobody else has; an idle one saves the making, and its page faults."""
        return self.idle() or self.segment.map()

    def idle(self) -> mmap.mmap | None:
        """Takes out a mapping whose term nobody has in hand any more.

        A weak reference without a callback answers that, not a `__del__` of the term: Python code
        that runs there would swallow what a signal handler raises in it.
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
        """Whether a call has made a term in it that does not follow another one yet."""
        terms = (last() for last, _ in self.used.copy())
        return any(term is not None and not term.placed for term in terms)


class Term:
    """A term. As long as anybody has it in hand, its mapping's position only advances.

    A thread that was held up with an old term in hand finds its position at the end and
    gets ValueError, even if the slot's memory serves a later term by then: that one has
    another mapping. Only when nobody has the old term any more may its mapping begin anew.

    Attributes:
        after: the term that follows, or None if it is the lane's last.
        placed: it follows another term, or another one was faster.
    """

    def __init__(self, serial: int, slot: _Slot, data: mmap.mmap) -> None:
        self.slot = slot
        self.data = data
        self.placed = False
        slot.used.append((weakref.ref(self), data))
        self.serial = serial
        self.after: Once[Term | None] = Once()
        self.start = Reach()
        """How far the terms before it go."""
        self.drops: list[int] = []
        """Dropped rows that records in it speak of."""
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
        self._fillers: list[int] = []
        self._end: Once[Reach] = Once()

    def void(self, ordinal: int) -> None:
        """Marks an ordinal that no record will have.

        A held-up call may come here after the term's release, when the entry is another term's.
        No thread switch can happen between the look and the store.
        """
        if not self.released:
            self.index[ordinal] = layout.VOID

    def seal(self) -> None:
        """Fills the rest, so that no append can succeed any more. Twice is fine."""
        while not self._fillers:
            rest = bytes(len(self.data) - self.data.tell())
            try:  # written and noted in one step: of several calls the first one counts
                self._fillers.extend(map(self.data.write, (rest,)))
            except ValueError:  # another call appended in between
                continue

    @property
    def sealed_word(self) -> int:
        """The bytes of its records + 1; 0 while it is open."""
        if not self._fillers:
            return 0
        return len(self.data) - self._fillers[0] - self.data_offset + 1

    @property
    def end(self) -> Reach:
        """How far it goes, once it is sealed; the same for every call."""
        found = self._end.get(None)
        if found is None:
            rows, records = self._count()
            drops, start = sum(self.drops), self.start
            found = self._end.settle(
                Reach(start.rows + rows + drops, start.records + records, start.drops + drops)
            )
        return found

    def _count(self) -> tuple[int, int]:
        """Rows and records in its data, by its index, at 3 ns per row.

        An entry that was taken and is still empty belongs to a call that was interrupted, or to a
        thread between its append and its store. The bytes show whether there are any of the latter;
        where there are some of both, all count.
        """
        taken = len(self.index) - length_hint(self.ordinal)
        entries = self.index[:taken]
        raw = bytes(entries)
        high = raw[_HIGH::4]
        marked = high.count(layout.OTHER >> 24) + high.count(0xFF)
        if marked + high.count(0) == taken and not raw[_LOW::4].count(0):
            records = taken - high.count(0xFF)
            return taken - marked, records
        lengths = entries.tolist()
        void = lengths.count(layout.VOID)
        other = sum(layout.OTHER <= length < layout.VOID for length in lengths)
        empty = lengths.count(0)
        if sum(map(layout.record_bytes, lengths)) == self.sealed_word - 1:
            taken -= empty
        return taken - void - other, taken - void


class Ring:
    """Opens, seals and reuses the terms of one lane. Not thread-safe; the producer locks.

    A signal handler or a finalizer that logs may run in the middle of each call, in the same
    thread, all the same. So which term follows another one is settled in one step
    (`Term.after`). All else is worked out from that, by whoever comes by: `_last` and `_oldest`
    may lag, and the control's words are stored until they are right. Who comes second finds
    its slot still free.

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
        self._slots: dict[int, _Slot] = {}
        self._slots_made = 0
        try:
            first = self._new_slot(0)
            self._last = self._oldest = Term(0, first, first.map())
        except BaseException:
            self.remove()
            raise
        self._last.placed = True
        self._show(self._last)
        self._note_use()
        while self._slots_made < slots and self._unused_bytes() >= 4 * mmap.PAGESIZE:
            try:
                slot = self._new_slot(0)
            except SharedMemoryError:
                break
            if (mapping := _try_to_map(slot)) is None:
                break
            slot.spare.append(mapping)

    def remove(self) -> None:
        """Removes the names of its memory."""
        for slot in list(self._slots.values()):
            slot.segment.unlink()

    @property
    def term(self) -> Term:
        """The open term, or the last one after end(). The control shows it."""
        last = self._last
        while (after := last.after.get(None)) is not None:
            last = after
        self._last = last
        if self._words[layout.OPENED_TERMS] != last.serial + 1:
            self._show(last)
        return last

    @property
    def ended(self) -> bool:
        """Whether no term comes any more."""
        return self.term.after.get(self) is None

    def end(self) -> None:
        """Seals the open term; none comes any more. Twice is fine."""
        while (last := self.term).after.settle(None) is not None:
            continue
        self.seal(last)

    def seal(self, term: Term) -> None:
        """Ends a term: nothing can be appended to it any more. Twice is fine."""
        term.seal()
        entry = layout.TERM_TABLE + layout.TERM_WORDS * (term.serial % layout.TERM_ENTRIES)
        note_end(self._words, term.serial, term.end)
        self._words[entry + 1] = term.sealed_word

    def advance(self, full: Term, record_bytes: int) -> bool:
        """Seals the open term, which is `full`, and opens one that a record fits into.

        Returns:
            True: look at `term` and `ended` again. False, if there is no memory before the writer
            releases some; the open term is sealed if only its own memory can make room.
        """
        if full.after.get(self) is not self:
            return True
        found = self._find_slot(self._need(record_bytes))
        if found is None:
            if self._unreleased() == [full]:
                self.seal(full)
            return False
        slot, mapping = found
        term = Term(full.serial + 1, slot, mapping)
        if slot.number not in self._slots:
            return True  # discarded by a call in between
        self.seal(full)
        term.start = full.end
        full.after.settle(term)
        term.placed = True
        self._note_use()
        return True

    def can_ever_hold(self, record_bytes: int) -> bool:
        """Whether a record of this size fits into the largest possible term."""
        return record_bytes < layout.OTHER and self._need(record_bytes) <= self._max_bytes

    def _need(self, record_bytes: int) -> int:
        need = record_bytes + layout.INDEX_OFFSET + 64
        return need + need // (layout.MIN_RECORD_BYTES // 4) + mmap.PAGESIZE

    def _new_slot(self, need: int) -> _Slot:
        """Creates the next slot.

        Raises:
            SharedMemoryError: no room.
        """
        wanted = _term_bytes(self._slots_made, self._largest)
        size = max(min(wanted, self._unused_bytes()), need)
        size = size // mmap.PAGESIZE * mmap.PAGESIZE
        while True:
            try:
                number = places.fresh_number()
                name = self._address.segment(self._lane, number)
                new = segment.create(self._address.place, name, size)
                break
            except FileExistsError:
                continue
            except OSError as exc:
                if exc.errno is None:
                    raise  # a signal handler's TimeoutError
                if size // 2 < max(need, 4 * mmap.PAGESIZE):
                    raise SharedMemoryError(size, [f"{self._address.place}: {exc}"]) from exc
                size //= 2
        slot = self._slots[number] = _Slot(number, new)
        self._slots_made += 1
        self._words[layout.LANE_BYTES] = self._max_bytes - self._unused_bytes()
        self._words[layout.SLOTS_MADE] = self._slots_made
        return slot

    def _show(self, term: Term) -> None:
        """Stores in the control that a term is open, and how far it is sealed.

        A call in between may have opened later ones: what it stored is stored again.
        """
        entry = layout.TERM_TABLE + layout.TERM_WORDS * (term.serial % layout.TERM_ENTRIES)
        words = self._words
        while True:
            last = term
            while (after := last.after.get(None)) is not None:
                last = after
            if last.serial - term.serial >= layout.TERM_ENTRIES:
                return
            wanted = term.slot.number, term.sealed_word, last.serial + 1
            if wanted == (words[entry], words[entry + 1], words[layout.OPENED_TERMS]):
                return
            if term.sealed_word:
                note_end(words, term.serial, term.end)
            words[entry], words[entry + 1] = wanted[:2]
            words[layout.OPENED_TERMS] = wanted[2]

    def _note_use(self) -> None:
        in_use = sum(term.slot.segment.size for term in self._unreleased())
        if in_use > self._words[layout.HIGH_WATER]:
            self._words[layout.HIGH_WATER] = in_use

    def _unreleased(self) -> list[Term]:
        """The terms whose memory is in use, the oldest first."""
        released = self._words[layout.RELEASED_TERMS]
        busy: list[Term] = []
        term: Term | None = self._oldest
        while term is not None:
            after = term.after.get(None)
            if term.serial >= released:
                busy.append(term)
            else:
                term.released = True
                self._oldest = after or term
            term = after
        return busy

    def _find_slot(self, need: int) -> tuple[_Slot, mmap.mmap] | None:
        """Memory for the next term: a released slot, else a new one within the limit."""
        terms = self._unreleased()
        if len(terms) >= layout.TERM_ENTRIES:
            return None
        busy = {term.slot.number for term in terms}
        idle = [slot for slot in list(self._slots.values()) if slot.number not in busy]
        fitting = [slot for slot in idle if slot.segment.size >= need]
        for slot in sorted(fitting, key=lambda slot: -slot.segment.size):
            if (mapping := _try_to_map(slot)) is not None:
                return slot, mapping
        return self._make_room([] if fitting else idle, need)

    def _make_room(self, idle: list[_Slot], need: int) -> tuple[_Slot, mmap.mmap] | None:
        wanted = max(need, 4 * mmap.PAGESIZE)
        for slot in idle:  # all are too small for a large record
            if self._unused_bytes() >= wanted:
                break
            self._discard(slot)
            if self._unused_bytes() >= wanted:
                break
            self._discard(slot)
        if self._unused_bytes() < wanted:
            return None
        try:
            slot = self._new_slot(need)
        except SharedMemoryError:
            return None  # the place is full, or no descriptor is left: go on with what there is
        mapping = _try_to_map(slot)
        return None if mapping is None else (slot, mapping)

    def _discard(self, slot: _Slot) -> None:
        """Gives an idle slot's memory back, unless an interrupted call has made a term in it."""
        if self._slots.pop(slot.number, None) is None:
            return
        if slot.is_claimed:
            self._slots[slot.number] = slot
            return
        # The writer has it mapped, too, until the lane's end: so its pages go, not only its name.
        # Nobody reads an idle slot, and one that was discarded serves no term any more.
        while (mapping := slot.idle()) is not None:
            with contextlib.suppress(OSError):
                mapping.madvise(mmap.MADV_REMOVE)
            with contextlib.suppress(BufferError):  # a thread has its index in hand
                mapping.close()
        slot.segment.unlink()
        slot.segment.close()

    def _unused_bytes(self) -> int:
        return self._max_bytes - sum(slot.segment.size for slot in list(self._slots.values()))


def _try_to_map(slot: _Slot) -> mmap.mmap | None:
    """A mapping; None if no descriptor or memory can be had for one at present."""
    try:
        return slot.map()
    except OSError as exc:
        if exc.errno is None:
            raise  # a signal handler's TimeoutError
        return None


def _term_bytes(number: int, largest: int) -> int:
    """Size of a slot: every second one is twice as large as those before."""
    return min(FIRST_TERM_BYTES << min(number // 2, _DOUBLINGS), largest)


def _largest_term(max_bytes: int) -> int:
    """The least size with which as many terms as can be in use at once add up to the limit.

    No term is larger than the largest that `_term_bytes` can give, whatever the limit.
    """
    largest, most = LARGEST_TERM_BYTES, FIRST_TERM_BYTES << _DOUBLINGS
    while largest < most:
        if sum(_term_bytes(n, largest) for n in range(layout.TERM_ENTRIES - 1)) >= max_bytes:
            break
        largest += largest // 16
    return min(largest, max_bytes // 2)
