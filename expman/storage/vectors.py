"""The rows of a run: vectors.parquet and its live tail.

Rows go `append()` → memory, `flush()` → the tail, `consolidate()` → vectors.parquet. Every step
is failure-atomic: after an error the rows are where they were, and the next call tries again.
Each row carries its producer and seq, and the Parquet footer says how far each producer's rows
reach, so a successor knows what is in the files from the files alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

import pyarrow as pa
from msgspec.structs import replace

from expman.failpoints import hit
from expman.models import MetricValue, RunMetadata, reason_of, safe_text
from expman.storage.bounds import shortened
from expman.storage.columns import PRODUCER_COLUMNS, ROW_FIELDS, Columns, Kind, absent
from expman.storage.directory import RunDirectory
from expman.storage.paths import (
    VECTORS_PARQUET,
    quarantine,
    remove_stale_temps,
    storage_error,
    tail_name,
)
from expman.storage.resume import resume
from expman.storage.rewrite import Rewrite
from expman.storage.rows import RowBlock, build_columns, halve, trim
from expman.storage.tail import TailFile

__all__ = ["RowBlock", "VectorStore"]

MAX_BATCH_ROWS = 64 * 1024
MAX_BATCH_CELLS = 4 * 1024 * 1024
MAX_SPARSE_CELLS = 256 * 1024
"""Of a batch whose rows have few of its columns each: it is kept in memory with its nulls."""
WIDE_COLUMNS = 256
SPARSE = 8
POLL_S = 0.002
FINISH_POLL_S = 0.02
"""A small run is finished within one step."""
MAX_KEPT_BYTES = 8 * 1024 * 1024
"""No more than about so much is kept in memory until it is durable."""
MAX_OPEN_TAILS = 16
"""So many tail files may be open at once, because they are not durable yet."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class VectorStore:
    """The vector files of one run; opens them fresh or resumes them.

    Attributes:
        latest: latest value of each metric, in append order, rows in memory included; long
            texts are cut.
        directory: the directory of the run.

    Raises:
        StorageError: the directory cannot be used.
    """

    def __init__(self, run_dir: str) -> None:
        self.latest: dict[str, MetricValue] = {}
        self._run_dir = run_dir
        self._parquet = os.path.join(run_dir, VECTORS_PARQUET)
        self._columns = Columns()
        self._warned: set[str] = set()
        self._warnings: list[str] = []
        self._pending: list[RowBlock] = []
        self._pending_rows = 0
        self._written_cells = 0  # values in the files, as far as this writer has written them
        self._rewrite: Rewrite | None = None
        self._covered: list[str] = []  # tail files that vectors.parquet has, to be deleted
        self._dir_dirty = True  # names changed since the directory was fsynced
        self._name_in_doubt = False  # fsync of the directory failed after vectors.parquet changed
        self._tail: TailFile | None = None  # the last of _tails, if it can be appended to
        self.directory = RunDirectory(run_dir)
        try:
            self.directory.ensure()
            remove_stale_temps(run_dir)
            state = resume(run_dir, self._columns, self._warn)
        except OSError as exc:
            raise storage_error(str(exc.filename or run_dir), exc) from exc
        self._has_parquet = state.has_parquet
        self._parquet_rows = state.parquet_rows
        self._parquet_groups = state.parquet_groups
        self._tails = state.tails
        self._next_number = state.next_number
        self._file_seqs = state.lanes
        self._file_latest = state.latest
        self._best = state.best
        self._seen_seqs = dict(state.lanes)
        self.latest.update(state.latest)

    @property
    def pending_rows(self) -> int:
        """Rows that are only in memory."""
        return self._pending_rows

    @property
    def rows_written(self) -> int:
        """Rows in the files."""
        return self._parquet_rows + sum(tail.rows for tail in self._tails)

    @property
    def reach(self) -> dict[str, int]:
        """Per producer the first seq that is in no file, as far as it has rows there."""
        return dict(self._file_seqs)

    @property
    def _is_sparse(self) -> bool:
        """Whether there are many columns, and rows have few of them each."""
        columns = len(self._columns.kinds)
        return columns > WIDE_COLUMNS and self._written_cells * SPARSE < self.rows_written * columns

    def next_seq(self, producer: str) -> int:
        """The first seq of a producer that is in no file; 0 for a new one."""
        return self._file_seqs.get(safe_text(producer), 0)

    def take_warnings(self) -> list[str]:
        """Messages for run.log since the last call; each subject is reported once."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def summarize(self, meta: RunMetadata) -> None:
        """Puts the latest and the best value of each metric into what run.yaml will say."""
        meta.vectors = dict(self.latest)
        meta.best = dict(self._best.metrics)
        numbers = {
            self._columns.metric_of[name]
            for name, kind in self._columns.kinds.items()
            if kind is not Kind.TEXT
        }
        meta.best_left_out = len(numbers - meta.best.keys()) if self._best.is_full else 0

    def append(self, block: RowBlock) -> None:
        """Takes rows into memory. Rows whose seq was taken before are left out: none twice.

        Durability: none by itself; see `flush`.
        """
        producer = safe_text(block.producer)
        seen = self._seen_seqs.get(producer, 0)
        if block.first_seq < seen:
            block = trim(block, min(seen - block.first_seq, len(block.steps)))
        rows = len(block.steps)
        if not rows:
            return
        self._pending.append(block)
        self._pending_rows += rows
        self._seen_seqs[producer] = block.first_seq + rows
        _note_latest(self.latest, block)

    def check_directory(self) -> None:
        """Sees to it that the run's directory is at its path.

        Raises:
            StorageError: it is not: nothing of the run may be written at present.
        """
        try:
            self.directory.ensure()
        except OSError as exc:
            raise storage_error(str(exc.filename or self._run_dir), exc) from exc

    def flush(self, *, sync: bool = False) -> None:
        """Writes the rows in memory to the tail.

        Durability: written when it returns; durable if `sync`.

        Raises:
            StorageError: the rows that are not written are kept, and the next call retries.
        """
        try:
            self.directory.ensure()
            for tail in self._tails:
                if tail.torn:
                    tail.heal()
            while self._pending:
                self._write(self._next_group())
                if sum(tail.kept_bytes for tail in self._tails) > MAX_KEPT_BYTES:
                    self._sync_tails()
            if sync:
                self._sync()
        except OSError as exc:
            path = self._tail.path if self._tail is not None else self._run_dir
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
        """The same, step by step: a large run takes long, and others need their turn.

        Durability: durable once the iterator is exhausted.

        Raises:
            StorageError: nothing is lost, and the next call retries.
        """
        return self._finish(FINISH_POLL_S)

    def _finish(self, poll_s: float | None) -> Iterator[None]:
        self._stop_rewrite()
        self.flush()
        yield from self._consolidate(poll_s, compact=True)
        self.flush(sync=True)

    def close(self) -> None:
        """Gives up the open files without writing anything."""
        self._stop_rewrite()
        for tail in self._tails:
            tail.close()
        self._tail = None
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
            self._write_group(blocks)
        except OSError:
            raise
        except Exception as exc:
            if len(blocks) > 1:
                half = len(blocks) // 2
                parts = [blocks[:half], blocks[half:]]
            elif len(blocks[0].steps) > 1:
                halves = halve(blocks[0])
                self._pending[:1] = halves
                parts = [[block] for block in halves]
            elif isinstance(exc, MemoryError):
                raise  # there may be more of it later
            else:
                self._spare(blocks[0], exc)
                return
            for part in parts:
                self._write(part)

    def _spare(self, row: RowBlock, exc: Exception) -> None:
        """Writes a row without the values that no file can hold, or leaves it out.

        What fails for another reason than what is in the row is raised.
        """
        bare = replace(row, keys=(), columns=[])
        if not self._can_build(bare):
            del self._pending[0]
            self._pending_rows -= 1
            name = f"row {row.first_seq} of {row.producer}"
            self._warn("row", f"{name} was left out, and counts as missing: {reason_of(exc)}")
            return
        kept = [
            (key, column)
            for key, column in zip(row.keys, row.columns, strict=True)
            if self._can_build(replace(row, keys=(key,), columns=[column]))
        ]
        if len(kept) == len(row.keys):
            raise exc
        keys, columns = tuple(key for key, _ in kept), [column for _, column in kept]
        left_out = sorted(set(row.keys) - set(keys))
        self._warn(
            f"value:{left_out}",
            f"a value of {', '.join(map(repr, left_out))[:200]} was left out: {reason_of(exc)}",
        )
        self._pending[0] = replace(row, keys=keys, columns=columns)
        self._write(self._pending[:1])

    def _can_build(self, row: RowBlock) -> bool:
        try:
            build_columns([row], self._columns, self._warn)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is; the caller says what it costs
            return False
        return True

    def _write_group(self, blocks: list[RowBlock]) -> None:
        fixed, arrays = build_columns(blocks, self._columns, self._warn)
        rows = len(fixed[0])
        tail = self._tail_for(arrays, rows)
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
            self._after_failure(tail, exc)
            raise
        del self._pending[: len(blocks)]
        self._pending_rows -= rows
        self._written_cells += sum(len(block.steps) * len(block.keys) for block in blocks)
        metric_of = self._columns.metric_of
        named = ((metric_of[key], arrays[key]) for key in arrays if key in metric_of)
        self._best.note(fixed[0], named)
        for block in blocks:
            self._file_seqs[safe_text(block.producer)] = block.first_seq + len(block.steps)
            _note_latest(self._file_latest, block)

    def _next_group(self) -> list[RowBlock]:
        rows = count = values = 0
        keys: set[str] = set()
        latest: tuple[str, ...] | None = None
        for block in self._pending:
            if block.keys is not latest:
                latest = block.keys
                keys.update(latest)
            rows += len(block.steps)
            values += len(block.steps) * len(block.keys)
            cells = rows * (len(keys) + len(ROW_FIELDS))
            sparse = len(keys) > WIDE_COLUMNS and values * SPARSE < cells
            limit = MAX_SPARSE_CELLS if sparse else MAX_BATCH_CELLS
            if count and (rows > MAX_BATCH_ROWS or cells > limit):
                break
            count += 1
        return self._pending[:count]

    def _tail_for(self, arrays: dict[str, pa.Array], rows: int) -> TailFile:
        """The open tail file, or a new one if these columns do not go into it."""
        tail = self._tail
        known: dict[str, object] = {}
        if tail is not None:
            types = tail.types
            fits = all(types.get(name) == array.type for name, array in arrays.items())
            wide = len(types) > max(WIDE_COLUMNS, SPARSE * len(arrays))
            large = rows * (len(types) + len(arrays)) > MAX_BATCH_CELLS
            if fits and not wide and not large:
                return tail
            # One growing schema, or each batch would carry a file of its own. But where rows
            # of many different keys alternate, it would be mostly nulls: begin a narrow one.
            if not wide and not large:
                known.update(types)
        self._seal()
        self._tail = self._new_tail(self._columns.schema({**known, **arrays}))
        self._tails.append(self._tail)
        self._dir_dirty = True
        return self._tail

    def _new_tail(self, schema: pa.Schema) -> TailFile:
        if sum(tail.is_open for tail in self._tails) >= MAX_OPEN_TAILS:
            self._sync_tails()
        while True:
            path = os.path.join(self._run_dir, tail_name(self._next_number))
            self._next_number += 1
            tail = TailFile(path, schema)
            with contextlib.suppress(FileExistsError):  # not ours: leave it to the next resume
                tail.create()
                return tail

    def _after_failure(self, tail: TailFile, exc: Exception) -> None:
        """Keeps the file for the next try if it is merely full; otherwise takes a new one."""
        if not tail.good_bytes:
            tail.close()
            self._tails.remove(tail)
            self._tail = None
            with contextlib.suppress(OSError):
                os.unlink(tail.path)
        elif isinstance(exc, FileNotFoundError):
            self._forget(tail)
        elif tail.torn or getattr(exc, "errno", None) not in _NO_ROOM:
            self._seal()

    def _forget(self, tail: TailFile) -> None:
        self._warn(tail.path, f"{tail.path} was removed by somebody; its {tail.rows} rows are gone")
        tail.close()
        self._tails.remove(tail)
        if self._tail is tail:
            self._tail = None

    def _seal(self) -> None:
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.seal()

    def _sync(self) -> None:
        self._sync_tails()
        if self._dir_dirty:
            self._sync_names()

    def _sync_tails(self) -> None:
        for tail in list(self._tails):
            if tail.is_doubtful:  # a new file will take its name
                self._stop_rewrite()
                self._dir_dirty = True
            try:
                tail.sync()
            except FileNotFoundError:
                self.directory.ensure()
                if self.directory.has(os.path.basename(tail.path)):
                    raise
                self._forget(tail)

    def _sync_names(self) -> None:
        """Makes names durable. Those that may be lost by a failure are given to new files."""
        try:
            self.directory.sync()
        except OSError:
            for tail in self._tails:
                if tail.has_new_name:
                    tail.doubt()
            self._name_in_doubt |= bool(self._covered)
            raise
        for tail in self._tails:
            tail.has_new_name = False
        self._dir_dirty = False

    # --- Parquet ------------------------------------------------------------------------------

    def _consolidate(self, poll_s: float | None, *, compact: bool) -> Iterator[None]:
        try:
            self.directory.ensure()
            self._delete_covered()
            several = compact and self._parquet_groups > 1
            if self._rewrite is not None or not (self._tails or several or self._name_in_doubt):
                return
            if self._is_sparse and not compact:
                return  # each rewrite would cost as much as there are columns: once, at the end
            self._seal()
            self._sync()  # what is read back was written, and stays there if all else fails
            covers = list(self._tails)
            job = Rewrite(
                self._run_dir,
                self._parquet if self._has_parquet else None,
                covers,
                self._columns.schema(),
                self._file_seqs,
                self._file_latest,
                self._best,
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
            path = getattr(exc, "filename", None) or self._parquet
            raise storage_error(str(path), exc) from exc

    def _publish(self, job: Rewrite, covers: list[TailFile]) -> None:
        """The one step that moves rows from the tail to vectors.parquet: a rename."""
        if job.error is not None:
            if isinstance(job.error, OSError | pa.ArrowException):
                raise job.error
            raise storage_error(self._parquet, job.error) from job.error
        assert job.temp is not None
        if job.base_damaged:
            quarantine(self._parquet)
        for path in job.removed:
            if self.directory.has(os.path.basename(path)):
                raise FileNotFoundError(errno.ENOENT, "was out of reach for a while", path)
        hit("parquet-before-rename")
        self.directory.rename(os.path.basename(job.temp), VECTORS_PARQUET)
        job.temp = None
        hit("parquet-after-rename")
        self._dir_dirty = True
        self._name_in_doubt = False
        self._has_parquet = True
        self._parquet_rows = job.rows
        self._parquet_groups = 0 if job.is_compact else job.groups
        self._tails = [tail for tail in self._tails if tail not in covers]
        self._covered += [tail.path for tail in covers if tail.path not in job.damaged]
        for subject, message in job.warnings:
            self._warn(subject, message)
        for path in job.damaged:
            quarantine(path)

    def _delete_covered(self) -> None:
        """Deletes tail files only once the name vectors.parquet is durable."""
        if not self._covered or self._name_in_doubt:
            return
        self._sync_names()
        while self._covered:
            hit("parquet-before-delete")
            self.directory.remove(os.path.basename(self._covered[-1]))
            self._covered.pop()
        self._dir_dirty = True

    def _warn(self, subject: str, message: str) -> None:
        if subject not in self._warned:
            self._warned.add(subject)
            self._warnings.append(message)


def _note_latest(latest: dict[str, MetricValue], block: RowBlock) -> None:
    for key, column in zip(block.keys, block.columns, strict=True):
        value = column[-1]
        if value is None:
            value = next((item for item in reversed(column) if item is not None), None)
        if value is not None:
            latest[key] = shortened(value)
