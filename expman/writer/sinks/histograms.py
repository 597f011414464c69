"""Histograms: to histograms.parquet, by way of a live tail of its own."""

from __future__ import annotations

from expman.models import LogLevel
from expman.storage.histogram_rows import histogram_row
from expman.storage.paths import HISTOGRAMS, has_tail, parquet_name, storage_error
from expman.storage.vectors import VectorStore
from expman.transport import records as wire
from expman.writer.consolidation import Consolidation
from expman.writer.lanes import LaneState
from expman.writer.open_run import OpenRun
from expman.writer.sinks.media import report_dropped_media
from expman.writer.sinks.sink import Sink

__all__ = ["HistogramSink"]

FIRST_REWRITE_S = 2.0
REWRITE_SPACING_S = 30.0


class HistogramSink(Sink):
    """Histograms, with the promises of rows.

    Resumes by the rows: each has its lane and the number of its record there. The files are opened
    with the first histogram.
    """

    name = parquet_name(HISTOGRAMS)
    may_leave_out = False

    def __init__(self, run: OpenRun) -> None:
        super().__init__(run)
        self._store: VectorStore | None = None
        self._consolidation: Consolidation | None = None

    def _opened(self) -> VectorStore:
        if self._store is None:
            self._store = VectorStore(self.run.run_dir, HISTOGRAMS, self.run.store.directory)
            self._consolidation = Consolidation(self._store, FIRST_REWRITE_S, REWRITE_SPACING_S)
        return self._store

    def take(self, record: wire.Histogram, lane: LaneState | None, number: int) -> None:
        """Takes a histogram, unless it is in the files already."""
        assert lane is not None
        store, producer = self._opened(), f"{lane.producer}#{lane.number:x}"
        if number < store.next_seq(producer):
            return
        report_dropped_media(self.run, lane, record.dropped)
        edges = [float(edge) for edge in record.edges]
        place = (producer, number, record.step, record.logged_at_ns)
        row = histogram_row(*place, record.label, edges, record.counts, record.not_finite)
        store.append(row)

    @property
    def has_pending(self) -> bool:
        """Whether histograms wait in memory."""
        return self._store is not None and self._store.pending_rows > 0

    def write(self, *, sync: bool) -> None:
        """Appends the histograms in memory to the tail."""
        if self._store is not None:
            try:
                self._store.flush(sync=sync)
            finally:
                self.run.take_warnings(self._store)

    def work(self) -> bool:
        """Goes on with a rewrite of histograms.parquet."""
        return self._consolidation is not None and self._consolidation.step()

    def settle(self) -> bool:
        """Brings every histogram into histograms.parquet; what never succeeds stays in the tail."""
        if self._store is None and not self._has_tail():
            return True
        self._opened()
        assert self._consolidation is not None
        left = self._consolidation.settle()
        if left is not None:
            self.run.note(LogLevel.ERROR, f"{self.name}: {left}")
        return not self._consolidation.is_settling

    def _has_tail(self) -> bool:
        """Whether an earlier writer of the run has left histograms in a tail."""
        try:
            return has_tail(self.run.run_dir, HISTOGRAMS)
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise storage_error(self.run.run_dir, exc) from exc

    def close(self) -> None:
        """Gives up the open files without writing anything."""
        if self._store is not None:
            self._store.close()

    finish = close
