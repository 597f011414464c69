"""The row groups of the next vectors.parquet, from the one that is there and the tail."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from expman.storage.alignment import align, join_sparse, without_empty_columns
from expman.storage.arrowfile import open_arrow
from expman.storage.paths import IrregularFileError
from expman.storage.tail import TailFile, TornTail, read_tail

__all__ = ["Findings", "RowGroups", "group_rows"]

MAX_GROUP_ROWS = 64 * 1024
"""Few enough that the writer stays small: a rewrite holds three of them."""
MIN_GROUP_ROWS = 1024
MAX_GROUP_BYTES = 32 * 1024 * 1024
MAX_SPARSE_CELLS = 4 * 1024 * 1024
"""Cells that are read back at once where most are null."""
MAX_SMALL_GROUPS = 16
"""So many row groups that are not full are kept as they are before they are joined."""


def group_rows(columns: int) -> int:
    """Rows of a row group: bounded in rows and in bytes, but not silly for wide tables."""
    fitting = MAX_GROUP_BYTES // (8 * columns)
    return max(MIN_GROUP_ROWS, min(MAX_GROUP_ROWS, fitting))


class Findings(msgspec.Struct):
    """Faults of the files that were read.

    Attributes:
        warnings: subject and message, for run.log.
        damaged: tail files that could not be read to the end; keep them for a human.
        removed: files that were not found.
        base_damaged: the old vectors.parquet could not be read.
    """

    warnings: list[tuple[str, str]] = []
    damaged: list[str] = []
    removed: list[str] = []
    base_damaged: bool = False

    def warn(self, subject: str, message: str) -> None:
        """Adds a warning."""
        self.warnings.append((subject, message))

    def note_removed(self, path: str) -> None:
        """Adds a file that was not found."""
        self.removed.append(path)
        self.warn(path, f"{path} was removed by somebody; its rows are gone")


class RowGroups:
    """Reads the old files; an iterator over the row groups of the new one, in bounded memory.

    Args:
        base: path of the old vectors.parquet; None if there is none.
        tails: tail files, in order.
        schema: of the row groups.
        cancelled: ends the iteration when it is set.
        compact: join row groups that are not full.
        sparse: most cells are null.

    Attributes:
        findings: what was wrong, so far.
        group_rows: rows of a full row group.
    """

    def __init__(
        self,
        base: str | None,
        tails: Sequence[TailFile],
        schema: pa.Schema,
        cancelled: threading.Event,
        *,
        compact: bool,
        sparse: bool,
    ) -> None:
        self.findings = Findings()
        self.group_rows = group_rows(len(schema))
        self._base = base
        self._tails = [(tail.path, tail.good_bytes) for tail in tails]
        self._schema = schema
        self._cancelled = cancelled
        self._compact = compact
        self._sparse = sparse

    def __iter__(self) -> Iterator[pa.Table]:
        """The row groups: those of the base as they are, then the rest in whole ones.

        While no column changes, the same row groups become the same bytes, so that the new file
        begins with the old one's data. A reader that opens a path twice, for the footer and for
        the data, finds what the old footer says also in the new file.
        """
        return self._sparse_groups() if self._sparse else self._dense_groups()

    def _dense_groups(self) -> Iterator[pa.Table]:
        kept = 0
        for number, table in enumerate(self._kept_groups()):
            kept = number + 1
            yield self._align(table).combine_chunks()
        held: list[pa.Table] = []
        rows = 0
        for table in self._tables(kept):
            held.append(self._align(table))
            rows += table.num_rows
            while rows >= self.group_rows:
                joined = pa.concat_tables(held)
                held = [joined.slice(self.group_rows)]
                rows = held[0].num_rows
                joined = joined.slice(0, self.group_rows).combine_chunks()  # lets go of the rest
                yield joined
        if rows:
            yield pa.concat_tables(held).combine_chunks()

    def _align(self, table: pa.Table) -> pa.Table:
        return align(table, self._schema, self.findings.warn)

    def _sparse_groups(self) -> Iterator[pa.Table]:
        """Row groups whose rows have few of the columns each: as many as their values allow.

        A table with all columns would be nulls for the most part. So columns without values are
        left out of each batch, and stand in a group for one run of nulls between two of values.
        """
        held: list[pa.Table] = []
        size = rows = 0
        for table in self._tables(0):
            for batch in table.to_batches():
                held.append(without_empty_columns(batch))
                size += held[-1].nbytes
                rows += batch.num_rows
                if size > MAX_GROUP_BYTES * 2 or rows >= MAX_GROUP_ROWS:
                    yield join_sparse(held, self._schema, self.findings.warn)
                    held, size, rows = [], 0, 0
        if held:
            yield join_sparse(held, self._schema, self.findings.warn)

    def _kept_groups(self) -> Iterator[pa.Table]:
        if self._base is None:
            return
        try:
            with self._sparing(self._base), _open_own(self._base) as file:
                sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
                whole = next((i for i, n in enumerate(sizes) if n < self.group_rows), len(sizes))
                few = len(sizes) - whole <= MAX_SMALL_GROUPS
                for number in range(len(sizes) if few and not self._compact else whole):
                    if self._cancelled.is_set():
                        return
                    yield file.read_row_group(number, use_threads=False)
        except FileNotFoundError:
            return  # _tables notes it

    def _tables(self, kept: int) -> Iterator[pa.Table]:
        if self._base is not None and not self.findings.base_damaged:
            try:
                yield from self._base_tables(self._base, kept)
            except FileNotFoundError:
                self.findings.note_removed(self._base)
        for path, good_bytes in self._tails:
            try:
                yield from self._tail_tables(path, good_bytes)
            except FileNotFoundError:
                self.findings.note_removed(path)

    def _base_tables(self, path: str, kept: int) -> Iterator[pa.Table]:
        with self._sparing(path), _open_own(path) as file:
            rest = range(kept, file.num_row_groups)
            if not rest:
                return
            size = self.group_rows
            if self._sparse:
                size = max(64, min(size, MAX_SPARSE_CELLS // len(file.schema_arrow)))
            for batch in file.iter_batches(batch_size=size, row_groups=rest, use_threads=False):
                if self._cancelled.is_set():
                    return
                yield pa.Table.from_batches([batch])

    @contextlib.contextmanager
    def _sparing(self, base: str) -> Iterator[None]:
        """Goes on without a base that cannot be understood, which would fail for ever."""
        try:
            yield
        except (pa.ArrowException, OSError) as exc:
            if isinstance(exc, OSError) and exc.errno:
                raise
            self.findings.base_damaged = True
            self.findings.warn(base, f"{base} was damaged by somebody ({exc}); it is kept")

    def _tail_tables(self, path: str, good_bytes: int) -> Iterator[pa.Table]:
        held: list[pa.RecordBatch] = []
        rows = 0
        try:
            for _, batch, _ in read_tail(path, good_bytes):
                if self._cancelled.is_set():
                    return
                if batch is not None:
                    held.append(batch)
                    rows += batch.num_rows
                if held and (self._sparse or rows >= self.group_rows // 4):
                    yield pa.Table.from_batches(held)
                    held, rows = [], 0
        except TornTail as exc:
            self.findings.damaged.append(path)
            self.findings.warn(path, f"{path}: damaged at byte {exc.offset}: {exc.detail}")
        if held:
            yield pa.Table.from_batches(held)


@contextlib.contextmanager
def _open_own(path: str) -> Iterator[pq.ParquetFile]:
    try:
        source = open_arrow(path)
    except IrregularFileError as exc:
        raise pa.ArrowInvalid(str(exc)) from exc
    with source:
        yield pq.ParquetFile(source, pre_buffer=False)
