"""Position of a lane's consumer: its term, and the numbers of the next row and record."""

from __future__ import annotations

from collections.abc import Iterable

from expman.shown import count_of
from expman.transport import layout
from expman.transport import records as wire
from expman.transport.bulk_decode import Rows
from expman.transport.lane_control import LaneControl
from expman.transport.numbering import LARGEST_COUNT, Reach, note_start, term_end, term_start
from expman.transport.open_term import OpenTerm

__all__ = ["LanePosition"]


class LanePosition:
    """A position in a lane. It begins where memory was given back: all before it is in files.

    Args:
        control: the lane's control.

    Attributes:
        serial: the term that is read.
        rows: number of the lane's next row, dropped ones included.
        records: number of the lane's next record.
        drops: dropped rows among the rows before it.
        in_term: rows and records of this term that were taken or lost.
    """

    def __init__(self, control: LaneControl) -> None:
        self._control = control
        self.serial = control.released_terms
        start = self._first_start()
        self.rows, self.records, self.drops = start.rows, start.records, start.drops
        self.in_term = (0, 0)

    def _first_start(self) -> Reach:
        """Start of the first term, as noted by a predecessor or by the producer."""
        words, serial = self._control.words, self.serial
        found = term_start(words, serial)
        is_used_again = self._control.opened_terms >= serial + layout.TERM_ENTRIES
        if found is None and serial and not is_used_again:
            found = term_end(words, serial - 1)
        return found or Reach()

    @property
    def dropped_rows(self) -> int:
        """Rows dropped so far by the overflow policy, as the producer counts them."""
        return min(self._control.dropped_rows, LARGEST_COUNT)

    @property
    def logged_rows(self) -> int:
        """Rows logged so far, as far as it is known here: taken, lost or dropped.

        Dropped rows that no record reports yet come on top of the numbered ones.
        """
        return self.rows + max(0, self.dropped_rows - self.drops)

    @property
    def cut_at(self) -> int | None:
        """Bytes of this term behind which nothing is taken; None if there is no cutoff in it."""
        cutoff = self._control.cutoff
        return cutoff.bytes if cutoff is not None and cutoff.serial == self.serial else None

    @property
    def sealed_word(self) -> int:
        """Bytes of this term's data + 1 once it is sealed; else 0."""
        return self._control.sealed_word(self.serial)

    def pass_by(self, rows: int, records: int) -> None:
        """Counts published records that could not be read."""
        self._add(rows, records)

    def _add(self, rows: int, records: int) -> None:
        self.rows += rows
        self.records += records
        self.in_term = (self.in_term[0] + rows, self.in_term[1] + records)

    def count(self, taken: Iterable[wire.Record | Rows]) -> None:
        """Counts records that were taken."""
        rows = records = 0
        for record in taken:
            records += 1
            kind = type(record)
            if kind is wire.Vector:
                rows += 1
            elif isinstance(record, Rows):
                rows += record.count
                records += record.count - 1
            elif isinstance(record, wire.Drop):
                self.rows += record.rows
                self.drops += record.rows
        self._add(rows, records)

    def end_term(self, term: OpenTerm | None) -> None:
        """Goes on to the next term.

        Args:
            term: the one that was read to its end; None if its memory is gone.
        """
        start = self._next_start(term)
        self.rows, self.records, self.drops = start.rows, start.records, start.drops
        self.serial += 1
        self.in_term = (0, 0)
        note_start(self._control.words, self.serial, start)

    def what_is_gone(self) -> str:
        """Describes the loss of this term's memory."""
        text = f"term {self.serial} is gone"
        if self.sealed_word or term_start(self._control.words, self.serial + 1):
            lost = self._next_start(None).rows - self.rows
            return f"{text}: {count_of(lost, 'row was in it', 'rows were in it')}"
        return f"{text}: how many rows were in it is not known"

    def _next_start(self, term: OpenTerm | None) -> Reach:
        """Start of the next term.

        Of an undamaged term, all was counted here. Of another one, the best source is a
        predecessor that has read it to its end: the rows in the files were numbered by that.
        Then comes what the producer stored, and of a term that it had not sealed, how many rows
        were written at least.
        """
        counted = Reach(self.rows, self.records, self.drops)
        if term is not None and not term.damaged:
            return counted
        words = self._control.words
        noted = self._believed(term_start(words, self.serial + 1))
        if noted is not None:
            return noted
        # With a cutoff in this term, not all that the producer stored may be taken.
        stored = None if self.cut_at is not None else self._believed(term_end(words, self.serial))
        stored = stored or Reach(rows=self._written_rows if term is None else 0)
        return Reach(
            max(counted.rows, stored.rows),
            max(counted.records, stored.records),
            max(counted.drops, stored.drops),
        )

    def _believed(self, end: Reach | None) -> Reach | None:
        """End of this term, as noted by the producer or a consumer, unless that is impossible."""
        if end is None:
            return None
        records, drops = end.records - self.records, end.drops - self.drops
        most = self._control.hello.max_buffer_bytes // layout.MIN_RECORD_BYTES
        fits = records <= most and end.rows - self.rows <= max(records, 0) + max(drops, 0)
        return end if fits and end.drops <= self.dropped_rows else None

    @property
    def _written_rows(self) -> int:
        written = self._control.written_rows
        return written if written <= LARGEST_COUNT else 0
