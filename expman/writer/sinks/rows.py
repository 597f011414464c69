"""Rows: to the live tail, and from there to vectors.parquet."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, assert_never

from expman.models import LogLevel, MetricValue
from expman.shown import count_of
from expman.storage.vectors import RowBlock
from expman.transport import records as wire
from expman.transport.bulk_decode import Rows
from expman.writer.consolidation import Consolidation
from expman.writer.lanes import LaneState
from expman.writer.open_run import OpenRun
from expman.writer.sinks.mixed_rows import mix, parts_in_turn
from expman.writer.sinks.sink import Position, Sink

__all__ = ["RowSink"]

_get_step, _get_time = attrgetter("step"), attrgetter("logged_at_ns")
_get_values, _get_schema = attrgetter("values"), attrgetter("schema")


class RowSink(Sink):
    """Rows, the names of their metrics, and notices of dropped rows.

    Resumes by the rows themselves: each has its producer and its seq, and the store takes none
    twice.

    Attributes:
        consolidation: rewrites vectors.parquet so that it holds the tail's rows.
    """

    name = "rows"
    may_leave_out = False

    def __init__(self, run: OpenRun) -> None:
        super().__init__(run)
        self.consolidation = Consolidation(run.store)

    # -- taking -------------------------------------------------------------------------

    def take_all(self, records: Sequence[Any], lane: LaneState, start: Position) -> None:
        """Takes rows; those of the same names that follow each other are taken at once."""
        if isinstance(records[0], wire.Vector):
            self._take_vectors(records, lane, start.row)
            return
        if not isinstance(records[0], Rows):
            super().take_all(records, lane, start)
            return
        row = start.row
        for block in records:
            with self.run.sparing(lane, count_of(block.count, "row")):
                columns = (block.steps, block.logged_at_ns, block.columns)
                self._append(lane, block.schema, *columns, row)
            row += block.count

    def take(self, record: wire.Schema | wire.Drop, lane: LaneState | None, number: int) -> None:
        """Takes the definition of names, or a notice of dropped rows."""
        assert lane is not None, "rows of a sampler need a sink of their own"
        match record:
            case wire.Schema():
                lane.schemas[record.schema] = record.keys
            case wire.Drop():
                self._report_drops(lane, record.rows)
            case _:
                assert_never(record)

    def _take_vectors(self, rows: Sequence[wire.Vector], lane: LaneState, first: int) -> None:
        for part in parts_in_turn(rows, lane.schemas):
            if not self._take_mixed(part, lane, first):
                self._take_by_schema(part, lane, first)
            first += len(part)

    def _take_mixed(self, part: Sequence[wire.Vector], lane: LaneState, first: int) -> bool:
        """Takes rows of several sets of names in turn as rows with all these names."""
        try:
            mixed = mix(part, lane.schemas)
            if mixed is None:
                return False
            seq, columns = lane.seq_base + first, (mixed.keys, mixed.columns)
            block = RowBlock(lane.producer, seq, mixed.steps, mixed.times, *columns, lane.fixed)
            self._keep(block, lane)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - one of them; none is taken twice
            return False
        lane.progress.note_mixed(part, lane.schemas)
        return True

    def _take_by_schema(self, rows: Sequence[wire.Vector], lane: LaneState, first: int) -> None:
        for schema, group in groupby(rows, _get_schema):
            same = list(group)
            try:
                self._take_same(lane, schema, same, first)
            except MemoryError:
                raise
            except Exception:  # noqa: BLE001 - one of them; none is taken twice
                for offset, row in enumerate(same):
                    with self.run.sparing(lane, "a row"):
                        self._take_same(lane, schema, [row], first + offset)
            first += len(same)

    def _take_same(self, lane: LaneState, schema: int, rows: list[wire.Vector], first: int) -> None:
        steps, times = list(map(_get_step, rows)), list(map(_get_time, rows))
        try:
            columns = list(zip(*map(_get_values, rows), strict=True))
        except ValueError:
            columns = None
        self._append(lane, schema, steps, times, columns, first)

    def _append(
        self,
        lane: LaneState,
        schema: int,
        steps: Sequence[int | None],
        times: Sequence[int],
        columns: Sequence[Sequence[MetricValue]] | None,
        first: int,
    ) -> None:
        keys, count = lane.schemas.get(schema), len(steps)
        if keys is None or columns is None or len(keys) != len(columns):
            why = "their metric names are unknown" if keys is None else "they are damaged"
            text = f"{count_of(count, 'row')} of {lane.producer} left out: {why}"
            self.run.note(LogLevel.ERROR, text)
            return
        seq = lane.seq_base + first
        block = RowBlock(lane.producer, seq, steps, times, keys, columns, lane.fixed)
        self._keep(block, lane)
        lane.progress.note(keys, steps[-2:], (times[0], times[-1]), count)

    def _keep(self, block: RowBlock, lane: LaneState) -> None:
        self.run.store.append(block)
        last = next((step for step in reversed(block.steps) if step is not None), None)
        lane.last_step = lane.last_step if last is None else last

    # -- dropped rows ---------------------------------------------------------------------

    def report_last_drops(self, lane: LaneState) -> None:
        """Reports rows that were dropped last, before a producer died or the run ended."""
        self._report_drops(lane, lane.consumer.dropped_rows - lane.drops_reported)
        laneless = lane.consumer.laneless_drops - lane.laneless_reported
        if laneless > 0:
            lane.laneless_reported += laneless
            text = "of workers dropped: they had no descriptor or no memory for a lane"
            self.run.note(LogLevel.WARN, f"{count_of(laneless, 'row')} {text}")

    def _report_drops(self, lane: LaneState, rows: int) -> None:
        if rows > 0:
            lane.drops_reported += rows
            whose = "" if lane.is_owner else f" of {lane.producer}"
            self.run.note(
                LogLevel.WARN, f"{count_of(rows, 'row')}{whose} dropped: the buffer was full"
            )

    # -- writing --------------------------------------------------------------------------

    @property
    def has_pending(self) -> bool:
        """True if rows wait in memory."""
        return self.run.store.pending_rows > 0

    def write(self, *, sync: bool) -> None:
        """Appends the rows in memory to the tail."""
        try:
            self.run.store.flush(sync=sync)
        finally:
            self.run.take_warnings()

    def acknowledge(self, *, synced: bool) -> None:
        """Stores in each lane how many of its rows are written, and how many are durable."""
        for lane in self.run.lanes:
            control = lane.consumer.control
            control.written_rows = lane.consumer.rows
            if synced:
                if lane.last_step is not None:
                    control.durable_step = lane.last_step
                control.durable_rows = lane.consumer.rows

    def work(self) -> bool:
        """Goes on with a rewrite of vectors.parquet."""
        return self.consolidation.step()

    # -- the end --------------------------------------------------------------------------

    @property
    def is_settling(self) -> bool:
        """True if the last rewrite is under way."""
        return self.consolidation.is_settling

    def settle(self) -> bool:
        """Brings every row into vectors.parquet; what never succeeds is left to the tail."""
        left = self.consolidation.settle()
        if left is not None:
            self.run.note(LogLevel.ERROR, left)
        self.run.take_warnings()
        return not self.is_settling
