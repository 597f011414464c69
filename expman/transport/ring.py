"""The terms of a lane, as its producer has them, and the memory that they use in turn."""

from __future__ import annotations

import contextlib
import mmap

from expman.errors import SharedMemoryError
from expman.transport import layout, places, segment
from expman.transport.cutoff import CutoffWatch
from expman.transport.lane_control import LaneControl
from expman.transport.numbering import note_end
from expman.transport.term import Slot, Term

__all__ = ["Ring"]

FIRST_TERM_BYTES = 256 * 1024
LARGEST_TERM_BYTES = 1024 * 1024
"""Making a term stalls one call, and the time grows with its size. See `_largest_term`."""
_DOUBLINGS = 16
"""Later terms are at most 2**16 times as large as the first one: 16 GiB."""


class Ring:
    """Opens, seals and reuses the terms of one lane. Not thread-safe; the producer locks.

    A signal handler or a finalizer that logs may still run in the middle of each call, in the same
    thread. So which term follows another one is settled in one step (`Term.after`). All else is
    worked out from that, by whichever call comes by: `_last` and `_oldest` may lag, and the
    control's words are stored until they are right. The call that comes second finds its slot still
    free. `test_interrupted` and `test_a_finalizer_that_logs_while_a_term_opens` show it.

    Args:
        address: whose lane it is.
        lane: the lane's number.
        control: the lane's control.
        max_bytes: limit of all terms together.
        slots: how many to make at once; two spare the first change of terms the making.
        cutoff: a worker's.

    Raises:
        SharedMemoryError: if no memory can be had for the first term.
    """

    def __init__(
        self,
        address: segment.Address,
        lane: int,
        control: LaneControl,
        max_bytes: int,
        slots: int,
        cutoff: CutoffWatch | None = None,
    ) -> None:
        self._address = address
        self._lane = lane
        self._words = control.words
        self._cutoff = cutoff
        self._max_bytes = max_bytes
        self._largest = _largest_term(max_bytes)
        self._slots: dict[int, Slot] = {}
        self._slots_made = 0
        try:
            first = self._new_slot(0)
            self._last = self._oldest = Term(0, first, first.map(), self._cutoff)
        except BaseException:
            self.remove()
            raise
        self._last.placed = True
        self._show(self._last)
        self._note_use([self._last])
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
        """True if no term comes any more."""
        return self.term.after.get(self) is None

    def end(self) -> None:
        """Seals the open term; none comes any more. Twice is fine."""
        while (last := self.term).after.settle(None) is not None:
            continue
        self.seal(last)

    def seal(self, term: Term) -> None:
        """Ends a term: nothing can be appended to it any more. May be called again.

        Where it ends is stored before the word that says that it is sealed, see `numbering`.
        """
        term.data.fill()
        entry = _entry(term.serial)
        note_end(self._words, term.serial, term.end)
        self._words[entry + 1] = term.data.sealed_word

    def advance(self, full: Term, record_bytes: int) -> bool:
        """Seals the open term, which is `full`, and opens one that a record fits into.

        Returns:
            True: look at `term` and `ended` again. False, if there is no memory before the writer
            releases some; the open term is sealed if only its own memory can make room.
        """
        if full.after.get(self) is not self:
            return True
        busy = self._unreleased()
        found = self._find_slot(busy, self._need(record_bytes))
        if found is None:
            if busy == [full]:
                self.seal(full)
            return False
        slot, mapping = found
        term = Term(full.serial + 1, slot, mapping, self._cutoff)
        if slot.number not in self._slots:
            return True  # discarded by a call in between
        self.seal(full)
        term.start = full.end
        if full.after.settle(term) is term:
            self._note_use([*busy, term])
        term.placed = True
        return True

    def can_ever_hold(self, record_bytes: int) -> bool:
        """True if a record of this size fits into the largest possible term."""
        return record_bytes < layout.OTHER and self._need(record_bytes) <= self._max_bytes

    def _need(self, record_bytes: int) -> int:
        need = record_bytes + layout.INDEX_OFFSET + 64
        return need + need // (layout.MIN_RECORD_BYTES // 4) + mmap.PAGESIZE

    def _new_slot(self, need: int) -> Slot:
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
                    tried = [f"{self._address.place}: {exc.strerror}"]
                    raise SharedMemoryError(size, tried, exc.errno) from exc
                size //= 2
        slot = self._slots[number] = Slot(number, new)
        self._slots_made += 1
        self._words[layout.LANE_BYTES] = self._max_bytes - self._unused_bytes()
        self._words[layout.SLOTS_MADE] = self._slots_made
        return slot

    def _show(self, term: Term) -> None:
        """Stores in the control that a term is open, and how far it is sealed.

        A call in between may have opened later ones: what it stored is stored again.
        """
        entry = _entry(term.serial)
        words = self._words
        while True:
            last = term
            while (after := last.after.get(None)) is not None:
                last = after
            if last.serial - term.serial >= layout.TERM_ENTRIES:
                return
            wanted = term.slot.number, term.data.sealed_word, last.serial + 1
            if wanted == (words[entry], words[entry + 1], words[layout.OPENED_TERMS]):
                return
            if term.data.sealed_word:
                note_end(words, term.serial, term.end)
            words[entry], words[entry + 1] = wanted[:2]
            words[layout.OPENED_TERMS] = wanted[2]

    def _note_use(self, busy: list[Term]) -> None:
        in_use = 0
        for term in busy:
            in_use += term.slot.segment.size
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

    def _find_slot(self, busy: list[Term], need: int) -> tuple[Slot, mmap.mmap] | None:
        """Memory for the next term: a slot of no busy term, else a new one within the limit."""
        if len(busy) >= layout.TERM_ENTRIES:
            return None
        numbers = {term.slot.number for term in busy}
        idle = [slot for slot in list(self._slots.values()) if slot.number not in numbers]
        fitting = [slot for slot in idle if slot.segment.size >= need]
        for slot in sorted(fitting, key=_size, reverse=True):
            if (mapping := _try_to_map(slot)) is not None:
                return slot, mapping
        return self._make_room([] if fitting else idle, need)

    def _make_room(self, idle: list[Slot], need: int) -> tuple[Slot, mmap.mmap] | None:
        wanted = max(need, 4 * mmap.PAGESIZE)
        for slot in idle:  # all are too small for a large record
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

    def _discard(self, slot: Slot) -> None:
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


def _entry(serial: int) -> int:
    return layout.TERM_TABLE + layout.TERM_WORDS * (serial % layout.TERM_ENTRIES)


def _size(slot: Slot) -> int:
    return slot.segment.size


def _try_to_map(slot: Slot) -> mmap.mmap | None:
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
