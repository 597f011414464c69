"""Samples of the machine: to system.parquet, by way of a live tail of its own."""

from __future__ import annotations

import time
from collections import deque

from expman.errors import StorageError
from expman.models import LogLevel
from expman.shown import count_of
from expman.storage.paths import SYSTEM, has_tail, parquet_name
from expman.storage.vectors import RowBlock, VectorStore
from expman.writer.consolidation import Consolidation
from expman.writer.lanes import LaneState
from expman.writer.open_run import OpenRun
from expman.writer.samplers.samples import MachineSample
from expman.writer.sinks.sink import TRIES, Sink

__all__ = ["SystemSink"]

PRODUCER = "system"
MOST_WAITING = 4096
"""Samples that are kept in memory while they cannot be written; then the oldest are left out."""
PAUSE_S = 5.0
_HELD = 8
"""Samples that the store has in its memory at most, besides those that wait here."""
FIRST_REWRITE_S = 2.0
REWRITE_SPACING_S = 60.0


class _Table:
    """The files of the samples, opened."""

    def __init__(self, run: OpenRun) -> None:
        self.store = VectorStore(run.run_dir, SYSTEM, run.store.directory)
        self.consolidation = Consolidation(self.store, FIRST_REWRITE_S, REWRITE_SPACING_S)
        self.next_seq = self.store.next_seq(PRODUCER)

    def append(self, sample: MachineSample) -> None:
        """Takes a sample into the store's memory."""
        values = [(float(value),) for value in sample.values.values()]
        keys, times = tuple(sample.values), (sample.sampled_at_ns,)
        seq = self.next_seq
        self.store.append(RowBlock(PRODUCER, seq, (seq,), times, keys, values))
        self.next_seq = seq + 1


class SystemSink(Sink):
    """Samples of the machine. What fails here is reported once, and holds up nothing else.

    Resumes by the rows: each has its number. A sample is written as soon as it is there, so a
    killed writer loses the one that is being taken. The files are opened with the first sample.
    """

    name = parquet_name(SYSTEM)

    def __init__(self, run: OpenRun) -> None:
        super().__init__(run)
        self._waiting: deque[MachineSample] = deque()
        self._table: _Table | None = None
        self._left_out = 0
        self._pause_until = 0.0
        self._trouble: str | None = None
        self._tries = 0

    def take(self, record: MachineSample, lane: LaneState | None, number: int) -> None:
        """Takes a sample."""
        self._waiting.append(record)
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self._left_out += 1

    @property
    def is_urgent(self) -> bool:
        """True if a sample can be written: no shared memory holds it."""
        return bool(self._waiting) and time.monotonic() >= self._pause_until

    def write(self, *, sync: bool) -> None:
        """Appends the samples to the tail; what cannot be written is tried again later."""
        if not self.is_urgent and not (sync and self._table is not None):
            return
        try:
            self._write(sync)
        except StorageError as exc:
            self._fail(exc)

    def _write(self, sync: bool) -> None:
        table = self._opened()
        while self._waiting:
            if table.store.pending_rows < _HELD:
                table.append(self._waiting[0])
                self._waiting.popleft()
            table.store.flush()
        table.store.flush(sync=sync)
        self.run.take_warnings(table.store)
        if self._left_out:
            samples = count_of(
                self._left_out, "sample of the machine is", "samples of the machine are"
            )
            self.run.note(LogLevel.WARN, f"{samples} left out")
        self._trouble, self._left_out = None, 0

    def _opened(self) -> _Table:
        self._table = self._table or _Table(self.run)
        return self._table

    def _fail(self, exc: StorageError) -> None:
        self._pause_until = time.monotonic() + PAUSE_S
        if self._trouble is None:
            text = f"samples of the machine wait, for they cannot be written: {exc}"
            self.run.note(LogLevel.WARN, text)
        self._trouble = str(exc)

    def work(self) -> bool:
        """Goes on with a rewrite of system.parquet."""
        if self._table is None:
            return False
        try:
            return self._table.consolidation.step()
        except StorageError as exc:
            self._fail(exc)
            return False

    # -- the end --------------------------------------------------------------------------

    def settle(self) -> bool:
        """Brings every sample into system.parquet; what never succeeds is left to the tail."""
        if self._table is None and not self._waiting and not self._has_files():
            return True
        try:
            self._write(sync=False)
            consolidation = self._opened().consolidation
            left = consolidation.settle()
        except StorageError as exc:
            self._fail(exc)
            self._tries += 1
            if self._tries < TRIES:
                return False
            text = f"the machine's last samples are not in {self.name}: {exc}"
            self.run.note(LogLevel.ERROR, text)
            self._waiting.clear()
            return True
        if left is not None:
            self.run.note(LogLevel.ERROR, f"{self.name}: {left}")
        return not consolidation.is_settling

    def _has_files(self) -> bool:
        """True if an earlier writer of the run has left samples in a tail."""
        if not self.run.hello.system_metrics_interval_secs:
            return False
        try:
            return has_tail(self.run.run_dir, SYSTEM)
        except OSError:
            return False

    def close(self) -> None:
        """Gives up the open files without writing anything."""
        if self._table is not None:
            self._table.store.close()

    finish = close
