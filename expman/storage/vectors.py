"""The rows of a table of a run: vectors.parquet and its live tail, or system.parquet and its own.

Rows go `append()` → memory, `flush()` → the tail, `consolidate()` → vectors.parquet. Every step
is failure-atomic: after an error the rows are where they were, and the next call tries again.
Each row carries its producer and seq, and the Parquet footer has how far each producer's rows
reach, so a successor knows what is in the files from the files alone.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import msgspec
import pyarrow as pa

from expman.failpoints import hit
from expman.metadata import RunMetadata
from expman.models import MetricValue, safe_text
from expman.storage.columns import PRODUCER_COLUMNS, Columns, Kind, absent
from expman.storage.directory import RunDirectory
from expman.storage.live_tail import LiveTail
from expman.storage.paths import VECTORS, quarantine, remove_stale_temps, storage_error
from expman.storage.pending import SPARSE, WIDE_COLUMNS, PendingRows
from expman.storage.resume import resume
from expman.storage.rewrite import Rewrite
from expman.storage.rows import RowBlock, build_columns, halve
from expman.storage.run_warnings import RunWarnings
from expman.storage.tail import TailFile
from expman.storage.unwritable import writable_part

__all__ = ["RowBlock", "VectorStore"]

POLL_S = 0.002
FINISH_POLL_S = 0.02
"""A small run is finished within one step."""


class _Covered(msgspec.Struct):
    """Tail files whose rows vectors.parquet has.

    Attributes:
        paths: the files that are not deleted yet.
        in_doubt: fsync of the directory failed after vectors.parquet was replaced, so that the
            old one may come back: no file may be deleted.
    """

    paths: list[str] = []
    in_doubt: bool = False


class VectorStore:
    """The files of one table of a run; opens them fresh or resumes them.

    Args:
        run_dir: the run's directory.
        stem: of the names of the files.
        directory: the same directory, if another table of the run has it open.

    Attributes:
        directory: the directory of the run.

    Raises:
        StorageError: the directory cannot be used, or a later version of expman wrote a file.
    """

    def __init__(
        self, run_dir: str, stem: str = VECTORS, directory: RunDirectory | None = None
    ) -> None:
        self._columns = Columns()
        self._warnings = RunWarnings()
        self._written_cells = 0  # values in the files, as far as this writer has written them
        self._rewrite: Rewrite | None = None
        self._covered = _Covered()
        self.directory = directory or RunDirectory(run_dir)
        self._failed_syncs = self.directory.failed_syncs
        try:
            self.directory.ensure()
            if directory is None:  # another table may be writing its own
                remove_stale_temps(run_dir)
            state = resume(run_dir, self._columns, self._warnings.add, stem)
        except OSError as exc:
            raise storage_error(str(exc.filename or run_dir), exc) from exc
        self._parquet = state.parquet
        self._contents = state.contents
        self._tail = LiveTail(
            self.directory, state.tails, state.next_number, self._warnings.add, stem
        )
        self._pending = PendingRows(self._contents.lanes, self._contents.latest)

    @property
    def latest(self) -> dict[str, MetricValue]:
        """Latest value of each metric, rows in memory included; long texts are cut."""
        return self._pending.latest

    @property
    def pending_rows(self) -> int:
        """Rows that are only in memory."""
        return self._pending.rows

    @property
    def rows_written(self) -> int:
        """Rows in the files."""
        return self._parquet.rows + self._tail.rows

    @property
    def rows_superseded(self) -> int:
        """Rows of earlier attempts that were superseded; they are in files of their own."""
        return self._contents.superseded[1]

    @property
    def reach(self) -> dict[str, int]:
        """First seq that is in no file, for each producer that has rows in the files."""
        return dict(self._contents.lanes)

    @property
    def _is_sparse(self) -> bool:
        """True if there are many columns, and rows have few of them each."""
        columns = len(self._columns.kinds)
        return columns > WIDE_COLUMNS and self._written_cells * SPARSE < self.rows_written * columns

    def next_seq(self, producer: str) -> int:
        """The first seq of a producer that is in no file; 0 for a new one."""
        return self._contents.lanes.get(safe_text(producer), 0)

    def take_warnings(self) -> list[str]:
        """Messages for run.log since the last call; each subject is reported once."""
        return self._warnings.take()

    def summarize(self, meta: RunMetadata) -> None:
        """Puts the latest and the best value of each metric into the run's metadata."""
        meta.vectors = dict(self.latest)
        best = self._contents.best
        meta.best = dict(best.metrics)
        numbers = {
            self._columns.metric_of[name]
            for name, kind in self._columns.kinds.items()
            if kind is not Kind.TEXT
        }
        meta.best_left_out = len(numbers - meta.best.keys()) if best.is_full else 0

    def append(self, block: RowBlock) -> None:
        """Takes rows into memory. Rows whose seq was taken before are left out: none twice.

        Durability: none by itself; see `flush`.
        """
        self._pending.append(block)

    def check_directory(self) -> None:
        """Makes sure that the run's directory is at its path.

        Raises:
            StorageError: it is not, and nothing of the run may be written now.
        """
        try:
            self.directory.ensure()
        except OSError as exc:
            raise storage_error(str(exc.filename or self.directory.path), exc) from exc

    def flush(self, *, sync: bool = False) -> None:
        """Writes the rows in memory to the tail.

        Durability: written when it returns; durable if `sync`.

        Raises:
            StorageError: the rows that are not written are kept, and the next call retries.
        """
        try:
            self.directory.ensure()
            self._tail.heal()
            while self._pending.blocks:
                self._write(self._pending.next_group())
                if self._tail.wants_sync:
                    self._sync_tail()
            if sync:
                self._sync()
        except OSError as exc:
            current = self._tail.current
            path = self.directory.path if current is None else current.path
            raise storage_error(str(exc.filename or path), exc) from exc

    def consolidate(self) -> Iterator[None]:
        """Brings all rows of the tail into vectors.parquet, step by step.

        The caller may append and flush between the steps: such rows go to a new tail file and
        are left for the next time. Leaving the iterator early drops the work, not a row.

        Durability: durable once the iterator is exhausted.

        Raises:
            StorageError: the files are as before, but for a new file that may cover the tail
                already; the next call retries.
        """
        return self._consolidate(POLL_S, compact=False)

    def finish(self) -> None:
        """Brings every row into vectors.parquet and removes the tail.

        Durability: durable when it returns.

        Raises:
            StorageError: nothing is lost, and the next call retries.
        """
        for _ in self._finish(None):
            pass

    def finishing(self) -> Iterator[None]:
        """The same, step by step: a large run takes long, and others need their turn."""
        return self._finish(FINISH_POLL_S)

    def _finish(self, poll_s: float | None) -> Iterator[None]:
        self._stop_rewrite()
        self.flush()
        yield from self._consolidate(poll_s, compact=True)
        self.flush(sync=True)

    def close(self) -> None:
        """Gives up the open files without writing anything."""
        self._stop_rewrite()
        self._tail.close()
        self.directory.close()

    def _stop_rewrite(self) -> None:
        if self._rewrite is not None:
            self._rewrite.cancel()
            self._rewrite = None

    # --- tail ---------------------------------------------------------------------------------

    def _write(self, blocks: list[RowBlock]) -> None:
        """Writes the first waiting blocks; what no file can hold is found by halves, and left out.

        Raises:
            OSError: the disk's trouble; what is not written waits.
        """
        try:
            steps, arrays = self._append_to_tail(blocks)
        except OSError:
            raise
        except Exception as exc:
            if len(blocks) > 1:
                half = len(blocks) // 2
                parts = [blocks[:half], blocks[half:]]
            elif len(blocks[0].steps) > 1:
                halves = halve(blocks[0])
                self._pending.replace_first(*halves)
                parts = [[block] for block in halves]
            elif isinstance(exc, MemoryError):
                raise  # there may be more of it later
            else:
                row = writable_part(blocks[0], exc, self._columns, self._warnings.add)
                if row is None:
                    self._pending.remove_first(1)
                    return
                self._pending.replace_first(row)
                parts = [[row]]
            for part in parts:
                self._write(part)
        else:  # they are in the file: whatever fails from here on, they are not written again
            self._note_written(blocks, steps, arrays)

    def _append_to_tail(self, blocks: list[RowBlock]) -> tuple[pa.Array, dict[str, pa.Array]]:
        """Appends blocks as one batch; returns their steps and their other columns."""
        fixed, arrays = build_columns(blocks, self._columns, self._warnings.add)
        rows = len(fixed[0])
        tail = self._tail.file_for(self._columns, arrays, rows)
        nulls = {dtype: pa.nulls(rows, dtype) for dtype in set(tail.types.values())}
        for name in PRODUCER_COLUMNS:
            if name in tail.types and name not in arrays:
                arrays[name] = absent(name, tail.types[name], rows)
        for name, dtype in list(tail.types.items())[len(fixed) :]:
            fixed.append(arrays[name] if name in arrays else nulls[dtype])
        batch = pa.RecordBatch.from_arrays(fixed, schema=tail.schema)
        try:
            tail.append(batch, compress=len(arrays) > WIDE_COLUMNS and self._is_sparse)
        except Exception as exc:
            self._tail.after_failure(tail, exc)
            raise
        return fixed[0], arrays

    def _note_written(
        self, blocks: list[RowBlock], steps: pa.Array, arrays: dict[str, pa.Array]
    ) -> None:
        self._pending.remove_first(len(blocks))
        self._written_cells += sum(len(block.steps) * len(block.keys) for block in blocks)
        metric_of = self._columns.metric_of
        metrics = ((metric_of[name], arrays[name]) for name in arrays if name in metric_of)
        self._contents.add_blocks(blocks, steps, metrics)

    def _sync(self) -> None:
        self._doubt_names()
        self._sync_tail()
        if self.directory.names_changed:
            self._sync_names()

    def _sync_tail(self) -> None:
        if self._tail.is_doubtful:  # the rewrite reads a file that a new one will replace
            self._stop_rewrite()
        self._tail.sync()

    def _sync_names(self) -> None:
        """Makes names durable. Those that may be lost by a failure are given to new files."""
        try:
            self.directory.sync()
        except OSError:
            self._doubt_names()
            raise
        self._tail.trust_names()

    def _doubt_names(self) -> None:
        """Doubts names that were new when the directory, which tables share, did not sync."""
        if self._failed_syncs != self.directory.failed_syncs:
            self._failed_syncs = self.directory.failed_syncs
            self._tail.doubt_names()
            self._covered.in_doubt |= bool(self._covered.paths)

    # --- Parquet ------------------------------------------------------------------------------

    def _consolidate(self, poll_s: float | None, *, compact: bool) -> Iterator[None]:
        try:
            self.directory.ensure()
            self._delete_covered()
            several = compact and self._parquet.groups > 1
            needed = self._tail.files or several or self._covered.in_doubt
            if self._rewrite is not None or not needed:
                return
            if self._is_sparse and not compact:
                return  # each rewrite would cost as much as there are columns: once, at the end
            self._tail.seal()
            self._sync()  # what is read back was written, and stays there if all else fails
            covers = list(self._tail.files)
            job = Rewrite(
                self.directory.path,
                self._parquet.path if self._parquet.exists else None,
                covers,
                self._columns.schema(),
                self._contents,
                compact=compact,
                sparse=self._is_sparse,
            )
            self._rewrite = job
            job.start()
            try:
                while not job.wait(poll_s):
                    yield
                if job.cancelled:
                    return
                self._publish(job, covers)
            finally:
                if self._rewrite is job:
                    self._rewrite = None
                job.cancel()
            self._delete_covered()
        except (OSError, pa.ArrowException) as exc:
            path = getattr(exc, "filename", None) or self._parquet.path
            raise storage_error(str(path), exc) from exc

    def _publish(self, job: Rewrite, covers: list[TailFile]) -> None:
        """The one step that moves rows from the tail to vectors.parquet: a rename."""
        if job.error is not None:
            if isinstance(job.error, OSError | pa.ArrowException):
                raise job.error
            raise storage_error(self._parquet.path, job.error) from job.error
        assert job.temp is not None
        found = job.findings
        if found.base_damaged:
            quarantine(self._parquet.path)
        for path in found.removed:
            if self.directory.has(os.path.basename(path)):
                raise FileNotFoundError(errno.ENOENT, "was out of reach for a while", path)
        hit("parquet-before-rename")
        self.directory.rename(os.path.basename(job.temp), os.path.basename(self._parquet.path))
        job.temp = None
        hit("parquet-after-rename")
        self.directory.names_changed = True
        self._parquet.exists, self._parquet.rows = True, job.rows
        self._parquet.groups = 0 if job.is_compact else job.groups
        self._tail.remove(covers)
        self._covered.in_doubt = False
        self._covered.paths += [tail.path for tail in covers if tail.path not in found.damaged]
        for subject, message in found.warnings:
            self._warnings.add(subject, message)
        for path in found.damaged:
            quarantine(path)

    def _delete_covered(self) -> None:
        """Deletes tail files only once the name vectors.parquet is durable."""
        self._doubt_names()
        paths = self._covered.paths
        if not paths or self._covered.in_doubt:
            return
        self._sync_names()
        while paths:
            hit("parquet-before-delete")
            self.directory.remove(os.path.basename(paths[-1]))
            paths.pop()
        self.directory.names_changed = True
