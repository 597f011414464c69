"""The consuming end of a lane.

A batch of published records is decoded in one call. Whatever does not add up (threads that
interleaved, a call that was interrupted, a producer that died in the middle) is read record by
record instead, see `salvage`.

What may be taken, and why it is whole:
- a published record: its length was stored after its bytes;
- a record that lies before a published one: appends happen one after the other;
- any record of a sealed term: nothing can be appended any more.

What is taken once is never lost: it stays in shared memory until it is in files. What is in files
is never taken again: START_TABLE and the files themselves show a successor where to go on
(`tests/property/test_lane.py`).
"""

from __future__ import annotations

import contextlib
from typing import Literal

from expman.errors import CorruptLaneError
from expman.failpoints import hit
from expman.transport import layout, places, segment
from expman.transport import records as wire
from expman.transport.batch import Batch, take_prefix
from expman.transport.bulk_decode import Rows
from expman.transport.hello import Hello
from expman.transport.lane_control import LaneControl
from expman.transport.lane_memory import LaneMemory
from expman.transport.lane_position import LanePosition
from expman.transport.lane_words import Cutoff
from expman.transport.liveness import lives, producer_pid
from expman.transport.numbering import LARGEST_COUNT
from expman.transport.open_term import OpenTerm, missed_entries
from expman.transport.release import TermRelease
from expman.transport.salvage import salvage
from expman.transport.spool_memory import CarriedMedium, SpoolMappings

__all__ = ["LaneConsumer"]

_COUNTS = (
    *(LaneControl.seq_base, LaneControl.name_number),
    *(LaneControl.artifacts_kept, LaneControl.artifacts_missing),
)


class LaneConsumer:
    """Reads one lane. One consumer at a time; a successor goes on where the files end.

    Args:
        address: whose lane it is.
        lane: its number.
        found: its control's segment, where that has lost its name.
        memory: its terms' memory, where another consumer has had it.

    Attributes:
        name: name of its control.
        control: its words.
        position: what was taken.
        memory: its terms' memory.
        released: what is to be given back.

    Raises:
        FileNotFoundError: the lane does not exist, or its producer has not published it yet.
        LayoutVersionError, CorruptLaneError: it cannot be read.
        OSError: no descriptor or memory can be had for it at present.
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
            self.control = LaneControl.open(self.name, self._segment.map_for_good())
            self._check_counts()
            pid = self.hello.pid
            self.memory = memory or LaneMemory(self.name, address.place, pid, self.control)
            self.memory.look()
            self.released = TermRelease(self.control)
            self.released.finish(self.memory)
        except BaseException:
            if memory is None:  # otherwise the replaced consumer needs it for the next try
                self._segment.close()
            raise
        self.position = LanePosition(self.control)
        self._spools = SpoolMappings(self.name, address.place, pid)
        self._term: OpenTerm | None = None

    def reopen(self) -> LaneConsumer:
        """Another consumer in place of this one, which begins where the files end."""
        return LaneConsumer(self.address, self.lane, self._segment, self.memory)

    def _check_counts(self) -> None:
        """Checks what the writer computes with: damage must not make it allocate or loop.

        Raises:
            CorruptLaneError: a number is impossible.
        """
        control = self.control
        released, drained = control.released_terms, control.drained_terms
        opened = control.opened_terms
        if not released <= drained <= opened <= released + layout.TERM_ENTRIES:
            detail = f"{released} terms released, {drained} drained, {opened} opened"
            raise CorruptLaneError(self.name, 8 * layout.RELEASED_TERMS, detail)
        for word in _COUNTS:
            if (count := control.words[word.number]) > LARGEST_COUNT:
                raise CorruptLaneError(self.name, 8 * word.number, f"a count of {count}")

    # -- what the producer stores ---------------------------------------------------

    @property
    def hello(self) -> Hello:
        """Identity of the producer, and of its run."""
        return self.control.hello

    def producer_alive(self) -> bool:
        """True if the process that claimed the lane lives."""
        return lives(self._segment, self.hello.pid)

    def producer_pid(self) -> int | None:
        """The id here of the process that claimed the lane; None if it is gone, or not seen."""
        return producer_pid(self._segment, self.hello.pid)

    @property
    def is_nameless(self) -> bool:
        """True if somebody has removed its name."""
        return segment.links(self._segment) == 0

    @property
    def sealed(self) -> bool:
        """True if the producer has sealed the lane: no record comes any more."""
        return self.control.sealed

    @property
    def dropped_rows(self) -> int:
        """Rows dropped by the overflow policy."""
        return self.position.dropped_rows

    @property
    def laneless_drops(self) -> int:
        """In the owner's lane: rows that workers without a lane dropped, see `RunGate`."""
        return self.control.laneless_drops

    @property
    def rows(self) -> int:
        """Number of the lane's next row, dropped ones included."""
        return self.position.rows

    @property
    def logged_rows(self) -> int:
        """Rows logged so far, as far as it is known here: taken, lost or dropped."""
        return self.position.logged_rows

    def at_end(self) -> bool:
        """True if every record of a sealed lane was taken."""
        return self.sealed and self.position.serial >= self._opened_terms()

    def _opened_terms(self) -> int:
        """Terms to be taken: those opened so far, or those up to the cutoff.

        Never more than can exist, even if the words are damaged.
        """
        control = self.control
        most = control.released_terms + layout.TERM_ENTRIES
        cutoff = control.cutoff
        last = most if cutoff is None else cutoff.serial + 1
        return min(control.opened_terms, most, last)

    def is_empty(self) -> bool:
        """True if nothing was published in it so far."""
        if self.position.serial or self.control.opened_terms > 1:
            return False
        term = self._open([])
        return term is None or not term.is_any_near()

    # -- what the writer stores ------------------------------------------------------

    def count_writer(self) -> int:
        """Counts this writer among those that have taken the lane, and returns their number."""
        self.control.writers = min(self.control.writers, LARGEST_COUNT) + 1
        return self.control.writers

    def set_closing(self) -> None:
        """Stores that the run is closing. What is published some milliseconds later is too late."""
        self.control.closing = True

    @property
    def passes_over_many(self) -> bool:
        """True if more entries were passed over than a cutoff can name; they may land soon."""
        term = self._term
        return term is not None and len(missed_entries(term)) > layout.GAP_ENTRIES

    def set_cutoff(self) -> None:
        """Stores up to where records were taken. Nothing more is taken from now on.

        A successor stops at the same byte, so that a call that raised RunClosedError has logged
        nothing (`test_late_rows`). The first cutoff stays: once its term is sealed, the position is
        in the next one, and a cutoff there would include records that were not taken
        (`test_the_first_cutoff_stays`).
        """
        if self.control.cutoff is not None:
            return
        term, serial = self._term, self.position.serial
        if term is None:
            self.control.cutoff = Cutoff(serial, 0, 0, ())
            return
        missed = tuple(missed_entries(term))
        self.control.cutoff = Cutoff(serial, term.slot, term.position, missed)
        term.cut(term.position)

    # -- taking records -------------------------------------------------------------

    def poll(self, producer: Literal["alive", "dead"] = "alive") -> Batch:
        """Takes what is published, up to a limit; an empty batch if there is nothing new.

        Args:
            producer: "dead" once the producing process is known to be gone; then nothing
                more will come, and what cannot be settled by waiting is settled at once.

        Raises:
            OSError: no descriptor or memory can be had for one of its terms at present.
        """
        problems: list[CorruptLaneError] = []
        dead, at = producer == "dead", self.position
        self.memory.look()
        while at.serial < self._opened_terms() and not problems:
            term = self._open(problems)
            if term is None:
                at.end_term(None)
                continue
            taken: list[wire.Record | Rows] | None = take_prefix(term)
            if taken is None or (not taken and (dead or self._sealed_bytes() is not None)):
                taken = self._salvage(term, dead, problems)
            first_row, first_record, serial = at.rows, at.records, at.serial
            at.count(taken)
            self.released.look_for_sentinel(taken, serial)
            count = at.records - first_record
            is_finished = self._is_finished(term, dead)
            if is_finished:
                self.released.add(serial, term)
                self._term = None
                at.end_term(term)
            if taken or problems or not is_finished:
                return Batch(taken, count, first_row, first_record, serial, problems)
        return Batch([], 0, at.rows, at.records, at.serial, problems)

    def _open(self, problems: list[CorruptLaneError]) -> OpenTerm | None:
        if self._term is not None:
            return self._term
        slot = self.control.slot(self.position.serial)
        name = self.address.segment(self.lane, slot)
        try:
            term = OpenTerm(name, self.memory.slot(slot))
        except (FileNotFoundError, PermissionError):
            problems.append(CorruptLaneError(name, 0, self.position.what_is_gone()))
            return None
        if (length := self.position.cut_at) is not None:
            term.cut(length)
        if term.damaged:
            problems.append(CorruptLaneError(name, 0, "no magic number or version"))
        self._term = term
        return term

    def _sealed_bytes(self) -> int | None:
        """Bytes of the term's data, if it is sealed; no more than there are."""
        sealed = self.position.sealed_word
        if not sealed or self._term is None:
            return None
        return min(sealed - 1, len(self._term.data))

    def _salvage(
        self, term: OpenTerm, dead: bool, problems: list[CorruptLaneError]
    ) -> list[wire.Record | Rows]:
        counted = self.position.in_term
        found = salvage(term, self._sealed_bytes(), counted, dead=dead, no_more=self.sealed)
        self.position.pass_by(found.lost_rows, found.lost_records)
        problems += found.problems
        term.damaged |= bool(found.problems)
        return [*found.records]

    def _is_finished(self, term: OpenTerm, dead: bool) -> bool:
        sealed = self._sealed_bytes()
        if sealed is None or term.position < sealed or term.appended():
            return False
        if dead or self.sealed:
            return True
        term.fill_gaps()  # the entries of interrupted calls have some time to land
        return not term.gaps or term.waited()

    def carried(self, name: str, size: int) -> CarriedMedium:
        """A medium that lies in a spool of the lane, by the name that its record has."""
        return CarriedMedium(self._spools, name, size)

    # -- giving memory back -----------------------------------------------------------

    @property
    def has_read_terms(self) -> bool:
        """True if there are terms to give back."""
        return self.released.is_possible

    def is_pressed(self) -> bool:
        """True if a good part of the lane's memory waits to be given back, held terms included."""
        return self.released.held_bytes * 4 >= self.hello.max_buffer_bytes

    def hold_from(self, serial: int | None) -> None:
        """Has `release` keep this term and those after it: not all of them is written yet.

        Args:
            serial: the first one; None: none.
        """
        self.released.held_from = serial

    def release(self) -> None:
        """Gives back every term that was taken to its end. Call it once all is written."""
        self.released.release()

    def remove(self) -> None:
        """Removes the lane's shared memory. Call it once everything is durable."""
        hit("lane-before-remove")
        names = set(self.memory.names())
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
        self.released.clear()
        self._spools.clear()
        self._segment.close()
        self.control.let_go()  # whatever still has this object
        self.memory.close()
