"""The consuming end of a lane.

A batch of published records is decoded in one call. Whatever does not add up (threads
that interleaved, a call that was interrupted, a producer that died in the middle) is read
record by record instead, see `salvage`.

What may be taken, and why it is whole:
- a published record: its length was stored after its bytes;
- a record that lies before a published one: appends happen one after the other;
- any record of a sealed term: nothing can be appended any more.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Sequence
from typing import Literal

import msgspec

from expman.errors import CorruptLaneError
from expman.failpoints import hit
from expman.transport import layout, places, segment
from expman.transport import records as wire
from expman.transport.bulk_decode import Rows, decode_batch
from expman.transport.encoding import UNREADABLE
from expman.transport.hello import Hello
from expman.transport.lane_control import Cutoff, LaneControl
from expman.transport.lane_memory import LaneMemory
from expman.transport.liveness import lives
from expman.transport.numbering import LARGEST_COUNT, Reach, note_start, term_end, term_start
from expman.transport.open_term import (
    BATCH_RECORDS,
    GLANCE_RECORDS,
    OpenTerm,
    missed_entries,
)
from expman.transport.salvage import take_singly

__all__ = ["Batch", "LaneConsumer"]

_COUNTS = (
    *(LaneControl.seq_base, LaneControl.name_number, LaneControl.log_done),
    *(LaneControl.artifacts_kept, LaneControl.artifacts_missing),
)
_ORDERED_STORES = platform.machine().lower() in {"x86_64", "amd64", "i386", "i686"}


class Batch(msgspec.Struct, frozen=True):
    """Records in the order of the lane.

    Attributes:
        records: what was decoded; rows that follow each other may come together.
        count: how many records that are.
        first_row: number of the first row among them, in its lane.
        first_record: number of the first of them in its lane.
        term: number of the term that they are from.
        problems: what was unreadable and had to be left out.
    """

    records: list[wire.Record | Rows]
    count: int
    first_row: int
    first_record: int
    term: int
    problems: list[CorruptLaneError]


class LaneConsumer:
    """Reads one lane. One consumer at a time; a successor goes on where the files end.

    Args:
        address: whose lane it is.
        lane: its number.
        found: its control's memory, where that has lost its name.
        memory: its terms' memory, where another consumer has had it.

    Raises:
        FileNotFoundError: there is no such lane, or its hello is not complete yet.
        LayoutVersionError, CorruptLaneError: it cannot be read.
        OSError: there is no descriptor or no memory for it at present.
    """

    def __init__(
        self,
        address: segment.Address,
        lane: int,
        found: segment.Segment | None = None,
        memory: LaneMemory | None = None,
    ) -> None:
        self.address = address
        self.lane = lane
        self.name = address.segment(lane)
        self._segment = found or segment.attach(address.place, self.name)
        try:
            self._read_control()
            pid = self.hello.pid
            self._memory = memory or LaneMemory(self.name, address.place, pid, self.control)
            self._memory.look()
            self._finish_release()
        except BaseException:
            if memory is None:  # else the consumer that is to be replaced needs it for the next try
                self._segment.close()
            raise
        self.serial: int = self.control.released_terms
        start = self._start_of(self.serial)
        self.rows = start.rows
        """Number of the lane's next row, dropped ones included."""
        self.records = start.records
        """Number of the lane's next record."""
        self.drops = start.drops
        """Dropped rows among the rows before it."""
        self._term: OpenTerm | None = None
        self._read: list[tuple[int, OpenTerm]] = []  # terms to release
        self._last: int | None = None  # the term with the sentinel

    @property
    def hello(self) -> Hello:
        """Who logs into the lane."""
        return self.control.hello

    def reopen(self) -> LaneConsumer:
        """Another consumer in place of this one, which begins where the files end."""
        return LaneConsumer(self.address, self.lane, self._segment, self._memory)

    def _read_control(self) -> None:
        self.control = control = LaneControl.open(self.name, self._segment.map_for_good())
        released, drained = control.released_terms, control.drained_terms
        opened = control.opened_terms
        if not released <= drained <= opened <= released + layout.TERM_ENTRIES:
            detail = f"{released} terms released, {drained} drained, {opened} opened"
            raise CorruptLaneError(self.name, 8 * layout.RELEASED_TERMS, detail)
        for word in _COUNTS:
            if (count := control.words[word.number]) > LARGEST_COUNT:
                raise CorruptLaneError(self.name, 8 * word.number, f"a count of {count}")

    def _start_of(self, serial: int) -> Reach:
        """Where a term begins, as a predecessor or the producer noted."""
        found = term_start(self.control.words, serial)
        used_again = self.control.opened_terms >= serial + layout.TERM_ENTRIES
        if found is None and serial and not used_again:
            found = term_end(self.control.words, serial - 1)
        return found or Reach()

    # -- what the producer says ---------------------------------------------------

    def producer_alive(self) -> bool:
        """Whether the process that claimed the lane lives."""
        return lives(self._segment, self.hello.pid)

    @property
    def sealed(self) -> bool:
        """Whether the producer has sealed the lane: no record comes any more."""
        return self.control.sealed

    @property
    def dropped_rows(self) -> int:
        """Rows dropped by the overflow policy."""
        return min(self.control.dropped_rows, LARGEST_COUNT)

    @property
    def laneless_drops(self) -> int:
        """In the owner's lane: rows that workers without a lane dropped, see `RunGate`."""
        return self.control.laneless_drops

    @property
    def logged_rows(self) -> int:
        """Rows logged so far, as far as it is known here: taken, lost or dropped.

        Dropped rows that no record speaks of yet come on top of the numbered ones.
        """
        return self.rows + max(0, self.dropped_rows - self.drops)

    def at_end(self) -> bool:
        """Whether every record of a sealed lane was taken."""
        return self.sealed and self.serial >= self._opened_terms()

    def _opened_terms(self) -> int:
        """Terms to be taken: those opened so far, or those up to the cutoff.

        No more than there can be, whatever the words say.
        """
        most = self.control.released_terms + layout.TERM_ENTRIES
        cutoff = self.control.cutoff
        last = most if cutoff is None else cutoff.serial + 1
        return min(self.control.opened_terms, most, last)

    # -- what the writer says ------------------------------------------------------

    def add_missing(self, text: str) -> None:
        """Says, where flush() and close() find it, that an artifact could not be stored.

        The line is there before the word that counts it.
        """
        self.control.add_missing_artifact(text)

    def count_writer(self) -> int:
        """Counts this writer among those that have taken the lane; how many that are by now."""
        self.control.writers = min(self.control.writers, LARGEST_COUNT) + 1
        return self.control.writers

    def set_closing(self) -> None:
        """Stores that the run is closing. What is published some milliseconds later is too late."""
        self.control.closing = True

    def set_cutoff(self) -> None:
        """Stores up to where records were taken. Nothing more is taken from now on.

        A successor stops at the same byte, so that a call that raised RunClosedError has logged
        nothing (`test_late_rows`).
        """
        term = self._term
        if term is None:
            self.control.cutoff = Cutoff(self.serial, 0, 0, ())
            return
        missed = tuple(missed_entries(term))
        self.control.cutoff = Cutoff(self.serial, term.slot, term.position, missed)
        term.data = term.data[: term.position]

    def is_empty(self) -> bool:
        """Whether nothing was published in it so far."""
        if self.serial or self.control.opened_terms > 1:
            return False
        term = self._open([])
        return term is None or not term.is_any_near()

    # -- taking records -------------------------------------------------------------

    def poll(self, producer: Literal["alive", "dead"] = "alive") -> Batch:
        """Takes what is published, up to a limit; an empty batch if there is nothing new.

        Args:
            producer: "dead" once the producing process is known to be gone; then nothing
                more will come, and what cannot be settled by waiting is settled at once.

        Raises:
            OSError: there is no descriptor or no memory for one of its terms at present.
        """
        problems: list[CorruptLaneError] = []
        dead = producer == "dead"
        self._memory.look()
        while self.serial < self._opened_terms() and not problems:
            term = self._open(problems)
            if term is None:
                self._end_term()
                continue
            taken: list[wire.Record | Rows] | None = self._take_whole(term)
            if taken is None or (not taken and (dead or self._sealed_bytes() is not None)):
                taken = self._take_singly(term, dead, problems)
            first_row, first_record, serial = self.rows, self.records, self.serial
            self._count(taken)
            finished = self._is_finished(term, dead)
            if finished:
                self._read.append((self.serial, term))
                self._end_term()
            if taken or problems or not finished:
                count = self.records - first_record
                return Batch(taken, count, first_row, first_record, serial, problems)
        return Batch([], 0, self.rows, self.records, self.serial, problems)

    def _open(self, problems: list[CorruptLaneError]) -> OpenTerm | None:
        if self._term is None:
            slot = self.control.slot(self.serial)
            name = self.address.segment(self.lane, slot)
            try:
                self._term = OpenTerm(name, self._memory.slot(slot))
                if self._cuts_off() is not None:
                    self._term.data = self._term.data[: self._cuts_off()]
            except (FileNotFoundError, PermissionError):
                problems.append(CorruptLaneError(name, 0, self._what_is_gone()))
            else:
                if self._term.damaged:
                    problems.append(CorruptLaneError(name, 0, "no magic number or version"))
        return self._term

    def _cuts_off(self) -> int | None:
        """Bytes of this term after which nothing is taken any more."""
        cutoff = self.control.cutoff
        return cutoff.bytes if cutoff is not None and cutoff.serial == self.serial else None

    def _sealed(self) -> int:
        return self.control.sealed_word(self.serial)

    def _sealed_bytes(self) -> int | None:
        sealed = self._sealed()
        if not sealed or self._term is None:
            return None
        return min(sealed - 1, len(self._term.data))

    def _take_whole(self, term: OpenTerm) -> list[wire.Record | Rows] | None:
        """Takes the published prefix in a few decoding calls; None if it does not add up."""
        if term.gaps:
            return None
        lengths = term.index[term.slot : term.slot + GLANCE_RECORDS].tolist()
        if lengths and 0 not in lengths:
            lengths = term.index[term.slot : term.slot + BATCH_RECORDS].tolist()
        count = lengths.index(0) if 0 in lengths else len(lengths)
        if not count:
            return None if any(lengths) or term.appended() else []
        if not _ORDERED_STORES:
            # Stores of other processors may show in another order for some nanoseconds:
            # take only what an earlier poll had already seen.
            count, term.seen = min(count, max(term.seen - term.slot, 0)), term.slot + count
            if not count:
                return []
        del lengths[count:]
        if max(lengths) >= layout.OTHER:
            lengths = [length & (layout.OTHER - 1) for length in lengths if length != layout.VOID]
        end = term.position + sum(lengths)
        if end > len(term.data):
            return None
        try:
            taken = decode_batch(bytes(term.data[term.position : end]), lengths)
        except UNREADABLE:
            return None
        term.position, term.slot = end, term.slot + count
        term.stuck_since = None
        return taken

    def _take_singly(
        self, term: OpenTerm, dead: bool, problems: list[CorruptLaneError]
    ) -> list[wire.Record | Rows]:
        sealed, entries = self._sealed_bytes(), self._entries(term, dead)
        found = take_singly(term, entries, sealed, dead=dead, closed=self.sealed)
        self.rows += found.lost_rows
        self.records += found.lost_records
        problems += found.problems
        term.damaged |= bool(found.problems)
        return [*found.records]

    def _entries(self, term: OpenTerm, dead: bool) -> Sequence[int]:
        """The index, as far as the bytes of its records are sure to show, too."""
        if _ORDERED_STORES or dead:
            return term.index
        seen, term.seen_index = term.seen_index, term.index.tolist()
        return seen

    def _is_finished(self, term: OpenTerm, dead: bool) -> bool:
        sealed = self._sealed_bytes()
        if sealed is None or term.position < sealed or term.appended():
            return False
        return dead or self.sealed or self._settled(term)

    def _settled(self, term: OpenTerm) -> bool:
        """Whether the entries of interrupted calls had their time to land."""
        term.gaps = {gap for gap in term.gaps if not term.index[gap]}
        return not term.gaps or term.waited()

    def _count(self, taken: list[wire.Record | Rows]) -> None:
        self.records += len(taken)
        for record in taken:
            if type(record) is wire.Vector:
                self.rows += 1
            elif type(record) is Rows:
                self.rows += record.count
                self.records += record.count - 1
            elif type(record) is wire.Drop:
                self.rows += record.rows
                self.drops += record.rows
            elif type(record) is wire.Sentinel:
                self._last = self.serial

    # -- numbers past what is lost -----------------------------------------------------

    def _end_term(self) -> None:
        """Goes on to the next term, with the numbers that its rows and records have."""
        self._go_to(self._next_start())
        self.serial += 1
        self._term = None
        note_start(self.control.words, self.serial, Reach(self.rows, self.records, self.drops))

    def _next_start(self) -> Reach:
        """Where the next term begins.

        Where nothing is wrong, that was counted here. Else a predecessor that has read this term
        to its end knows best: the rows in the files were numbered by it. Then comes the producer's
        word, and of a term that it had not sealed, how many rows were written at least.
        """
        counted = Reach(self.rows, self.records, self.drops)
        if self._term is not None and not self._term.damaged:
            return counted
        noted = self._believed(term_start(self.control.words, self.serial + 1))
        if noted is not None:
            return noted
        is_cut = self._cuts_off() is not None  # not all of it is to be taken
        said = None if is_cut else self._believed(term_end(self.control.words, self.serial))
        said = said or Reach(rows=self._written_rows if self._term is None else 0)
        return Reach(
            max(counted.rows, said.rows),
            max(counted.records, said.records),
            max(counted.drops, said.drops),
        )

    def _believed(self, end: Reach | None) -> Reach | None:
        """Where this term ends as one of the ends noted, unless that cannot be."""
        if end is None:
            return None
        records, drops = end.records - self.records, end.drops - self.drops
        most = self.hello.max_buffer_bytes // layout.MIN_RECORD_BYTES
        fits = records <= most and end.rows - self.rows <= max(records, 0) + max(drops, 0)
        return end if fits and end.drops <= self.dropped_rows else None

    @property
    def _written_rows(self) -> int:
        written = self.control.written_rows
        return written if written <= LARGEST_COUNT else 0

    def _go_to(self, start: Reach) -> None:
        self.rows, self.records, self.drops = start.rows, start.records, start.drops

    def _what_is_gone(self) -> str:
        text = f"term {self.serial} is gone"
        if self._sealed() or term_start(self.control.words, self.serial + 1):
            return f"{text}: {self._next_start().rows - self.rows:,} rows were in it"
        return f"{text}: how many rows were in it is not known"

    # -- giving memory back -----------------------------------------------------------

    @property
    def has_read_terms(self) -> bool:
        """Whether there are terms to give back."""
        return bool(self._read) and self._read[0][0] != self._last

    def is_pressed(self) -> bool:
        """Whether a good part of the lane's memory waits to be given back."""
        held = sum(len(term.bytes) for serial, term in self._read if serial != self._last)
        return held * 4 >= self.hello.max_buffer_bytes

    def release(self) -> None:
        """Gives back every term that was taken to its end. Call it once all is written.

        The one with the sentinel stays: a successor reads it again, and learns how the run ended.
        """
        while self._read and self._read[0][0] != self._last:
            serial, term = self._read[0]
            hit("release-before-drained")
            self.control.drained_terms = serial + 1
            hit("release-before-wipe")
            term.wipe(term.slot, term.position)
            hit("release-after-wipe")
            self.control.released_terms = serial + 1
            del self._read[0]

    def _finish_release(self) -> None:
        """Completes a release that a killed predecessor began."""
        released, drained = self.control.released_terms, self.control.drained_terms
        for serial in range(released, min(drained, self.control.opened_terms)):
            slot = self.control.slot(serial)
            try:
                memory = self._memory.slot(slot)
            except (FileNotFoundError, PermissionError):
                continue
            term = OpenTerm(self.address.segment(self.lane, slot), memory)
            term.wipe(term.entries, len(term.data))
        if drained > released:
            self.control.released_terms = drained

    def remove(self) -> None:
        """Removes the lane's shared memory. Call it once everything is durable."""
        hit("lane-before-remove")
        names = set(self._memory.names())
        self.close()
        with contextlib.suppress(OSError):  # without a descriptor: those that are known
            names.update(places.list_names(self.address.place, f"{self.name}-"))
        for name in names:
            segment.remove(self.address.place, name)
        hit("lane-half-removed")
        segment.remove(self.address.place, self.name)

    def close(self) -> None:
        """Lets go of the lane without removing anything."""
        self._term = None
        self._read.clear()
        self._segment.close()
        self.control.let_go()  # whatever still has this object
        self._memory.close()
