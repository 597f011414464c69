"""Rewrites vectors.parquet from its old content and the tail, in bounded memory.

The work runs in a thread of the writer process, nearly all of it in Arrow without the GIL, so
that the writer goes on polling its lanes whatever a row group costs. The thread reads only
sealed files and writes only its temporary file; the store renames that file and owns all state.

Parquet with what every reader knows: zstd, statistics, plain logical types (no Arrow schema),
dictionary for text, delta encoding for integers, and for floats a dictionary where values repeat
(Apache Parquet format, "Encodings"). Not byte-stream-split, which would take 6 % less: Spark's
vectorized reader refuses it.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from expman.failpoints import hit
from expman.models import MetricValue
from expman.storage.arrowfile import open_arrow
from expman.storage.best import BEST_KEY, BestValues
from expman.storage.bounds import fitting
from expman.storage.columns import COLUMNS_KEY, EXACT_INT, FIXED, LAYOUT_KEY, LAYOUT_VERSION, absent
from expman.storage.paths import IrregularFileError, create_temp
from expman.storage.tail import TailFile, TornTail, read_tail

__all__ = ["LANES_KEY", "LATEST_KEY", "Rewrite", "group_rows"]

LANES_KEY = "expman.lanes"
LATEST_KEY = "expman.latest"
ROWS_KEY = "expman.rows"

MAX_GROUP_ROWS = 64 * 1024
"""Few enough that the writer stays small: a rewrite holds three of them."""
MIN_GROUP_ROWS = 1024
MAX_GROUP_BYTES = 32 * 1024 * 1024
MAX_SPARSE_CELLS = 4 * 1024 * 1024
"""Cells that are read back at once where most are null."""
MAX_SMALL_GROUPS = 16
"""So many row groups that are not full are kept as they are before they are joined."""
SAMPLE_ROWS = 4096
JOIN_S = 10.0


class Rewrite:
    """One rewrite: `start()`, then `wait()` until it says True, then look at the outcome.

    Attributes:
        temp: path of the finished, fsynced new file; None until then and after an error.
        rows: rows in it.
        groups: row groups in it.
        is_compact: all of them, but for the last one, are full.
        error: what went wrong.
        warnings: subject and message, for run.log.
        damaged: tail files that could not be read to the end; keep them for a human.
        removed: files that were not found.
        base_damaged: the same of the old vectors.parquet.
    """

    def __init__(
        self,
        run_dir: str,
        base: str | None,
        tails: Sequence[TailFile],
        schema: pa.Schema,
        lanes: Mapping[str, int],
        latest: Mapping[str, MetricValue],
        best: BestValues,
        *,
        compact: bool,
        sparse: bool = False,
    ) -> None:
        self.temp: str | None = None
        self.rows = 0
        self.groups = 0
        self.is_compact = True
        self.error: BaseException | None = None
        self.warnings: list[tuple[str, str]] = []
        self.damaged: list[str] = []
        self.removed: list[str] = []
        self.base_damaged = False
        self._run_dir = run_dir
        self._base = base
        self._tails = [(tail.path, tail.good_bytes) for tail in tails]
        self._schema = schema
        self._lanes = dict(lanes)
        self._latest = dict(latest)
        self._best = best.copy()
        self._compact = compact
        self._sparse = sparse
        self._group_rows = group_rows(len(schema))
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="expman-consolidate", daemon=True)

    def start(self) -> None:
        """Starts the work."""
        self._thread.start()

    def wait(self, timeout_s: float | None) -> bool:
        """Waits for the end; True once it is there."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def cancel(self) -> None:
        """Ends the work at the next chunk and leaves no file behind.

        A thread that hangs in a system call is not waited for: it removes its file itself.
        """
        self._cancelled.set()
        if self._thread.ident is not None:
            self._thread.join(JOIN_S)
        if not self._thread.is_alive():
            self.discard()

    def discard(self) -> None:
        """Removes the temporary file."""
        temp, self.temp = self.temp, None
        if temp is not None:
            with contextlib.suppress(OSError):
                os.unlink(temp)

    @property
    def cancelled(self) -> bool:
        """Whether somebody called it off."""
        return self._cancelled.is_set()

    def _run(self) -> None:
        try:
            fd, self.temp = create_temp(self._run_dir)
            try:
                self._write(self.temp)
                if not self.cancelled:
                    os.fsync(fd)
            finally:
                os.close(fd)
        except BaseException as exc:  # noqa: BLE001 - the top of a thread: the store raises it
            self.error = exc
            self.discard()
        if self.cancelled:
            self.discard()

    def _write(self, temp: str) -> None:
        groups = self._groups()
        first = next(groups, None)
        sample = self._schema.empty_table() if first is None else first
        dictionary, encodings = _encodings(sample)
        with pq.ParquetWriter(
            temp,
            self._schema,
            compression="zstd",
            write_statistics=True,
            store_schema=False,
            use_dictionary=dictionary,
            column_encoding=encodings,
        ) as writer:
            previous = 0
            while first is not None and not self.cancelled:
                hit("parquet-row-group")
                writer.write_table(first, row_group_size=max(self._group_rows, first.num_rows))
                self.rows += first.num_rows
                self.groups += 1
                self.is_compact &= not previous or previous == self._group_rows
                previous = first.num_rows
                del first  # before the next one is read
                first = next(groups, None)
            footer = {
                LANES_KEY: json.dumps(self._lanes),
                LATEST_KEY: json.dumps(fitting(self._latest)),
                BEST_KEY: self._best.footer(),
                ROWS_KEY: str(self.rows),
                LAYOUT_KEY.decode(): str(LAYOUT_VERSION),
            }
            # Without an Arrow schema in the file, pyarrow leaves the schema's metadata out.
            renamed = (self._schema.metadata or {}).get(COLUMNS_KEY)
            if renamed is not None:
                footer[COLUMNS_KEY.decode()] = renamed.decode()
            writer.add_key_value_metadata(footer)

    def _groups(self) -> Iterator[pa.Table]:
        """The row groups: those of the base as they are, then the rest in whole ones.

        While no column changes, the same row groups become the same bytes, so that the new file
        begins with the old one's data. A reader that opens a path twice, for the footer and for
        the data, finds what the old footer says also in the new file.
        """
        if self._sparse:
            yield from self._sparse_groups()
            return
        kept = 0
        for number, table in enumerate(self._kept_groups()):
            kept = number + 1
            yield self._align(table).combine_chunks()
        held: list[pa.Table] = []
        rows = 0
        for table in self._tables(kept):
            held.append(self._align(table))
            rows += table.num_rows
            while rows >= self._group_rows:
                joined = pa.concat_tables(held)
                held = [joined.slice(self._group_rows)]
                rows = held[0].num_rows
                joined = joined.slice(0, self._group_rows).combine_chunks()  # lets go of the rest
                yield joined
        if rows:
            yield pa.concat_tables(held).combine_chunks()

    def _sparse_groups(self) -> Iterator[pa.Table]:
        """Row groups whose rows have few of the columns each: as many as their values allow.

        A table with all columns would be nulls for the most part. So columns without values are
        left out of each batch, and stand in a group for one run of nulls between two of values.
        """
        held: list[pa.Table] = []
        size = rows = 0
        for table in self._tables(0):
            for batch in table.to_batches():
                held.append(_without_nulls(batch))
                size += held[-1].nbytes
                rows += batch.num_rows
                if size > MAX_GROUP_BYTES * 2 or rows >= MAX_GROUP_ROWS:
                    yield self._joined(held)
                    held, size, rows = [], 0, 0
        if held:
            yield self._joined(held)

    def _joined(self, tables: list[pa.Table]) -> pa.Table:
        rows = sum(table.num_rows for table in tables)
        pieces: dict[str, list[tuple[int, pa.ChunkedArray]]] = {}
        start = 0
        for table in tables:
            for name, column in zip(table.schema.names, table.columns, strict=True):
                pieces.setdefault(name, []).append((start, column))
            start += table.num_rows
        nulls = _Absent(rows)
        columns = []
        for field in self._schema:
            chunks, end = [], 0
            for begin, column in pieces.get(field.name, ()):
                if begin > end:
                    chunks.append(nulls.column(field).slice(0, begin - end))
                fitting = column if column.type == field.type else self._widen(column, field)
                chunks += fitting.chunks
                end = begin + len(column)
            if rows > end:
                chunks.append(nulls.column(field).slice(0, rows - end))
            columns.append(pa.chunked_array(chunks, field.type))
        return pa.Table.from_arrays(columns, schema=self._schema)

    def _kept_groups(self) -> Iterator[pa.Table]:
        if self._base is None:
            return
        try:
            with (
                self._sparing(self._base),
                _open_own(self._base) as file,
            ):
                sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
                whole = next((i for i, n in enumerate(sizes) if n < self._group_rows), len(sizes))
                few = len(sizes) - whole <= MAX_SMALL_GROUPS
                for number in range(len(sizes) if few and not self._compact else whole):
                    if self.cancelled:
                        return
                    yield file.read_row_group(number, use_threads=False)
        except FileNotFoundError:
            return  # _tables says so

    def _tables(self, kept: int) -> Iterator[pa.Table]:
        if self._base is not None and not self.base_damaged:
            try:
                yield from self._base_tables(self._base, kept)
            except FileNotFoundError:
                self._removed(self._base)
        for path, good_bytes in self._tails:
            try:
                yield from self._tail_tables(path, good_bytes)
            except FileNotFoundError:
                self._removed(path)

    def _base_tables(self, path: str, kept: int) -> Iterator[pa.Table]:
        with (
            self._sparing(path),
            _open_own(path) as file,
        ):
            rest = range(kept, file.num_row_groups)
            if not rest:
                return
            size = self._group_rows
            if self._sparse:
                size = max(64, min(size, MAX_SPARSE_CELLS // len(file.schema_arrow)))
            for batch in file.iter_batches(batch_size=size, row_groups=rest, use_threads=False):
                if self.cancelled:
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
            self.base_damaged = True
            self.warnings.append((base, f"{base} was damaged by somebody ({exc}); it is kept"))

    def _tail_tables(self, path: str, good_bytes: int) -> Iterator[pa.Table]:
        held: list[pa.RecordBatch] = []
        rows = 0
        try:
            for _, batch, _ in read_tail(path, good_bytes):
                if self.cancelled:
                    return
                if batch is not None:
                    held.append(batch)
                    rows += batch.num_rows
                if held and (self._sparse or rows >= self._group_rows // 4):
                    yield pa.Table.from_batches(held)
                    held, rows = [], 0
        except TornTail as exc:
            self.damaged.append(path)
            self.warnings.append((path, f"{path}: damaged at byte {exc.offset}: {exc.detail}"))
        if held:
            yield pa.Table.from_batches(held)

    def _removed(self, path: str) -> None:
        self.removed.append(path)
        self.warnings.append((path, f"{path} was removed by somebody; its rows are gone"))

    def _align(self, table: pa.Table) -> pa.Table:
        """The table in the target schema: missing columns null, narrower numbers widened."""
        schema = self._schema
        if table.schema.equals(schema):
            return table
        position = {name: number for number, name in enumerate(table.schema.names)}
        nulls = _Absent(table.num_rows)
        arrays = []
        for field in schema:
            number = position.get(field.name)
            if number is None:
                arrays.append(nulls.column(field))
                continue
            array = table.column(number)
            if array.type != field.type:
                array = self._widen(array, field)
            arrays.append(array)
        return pa.Table.from_arrays(arrays, schema=schema)

    def _widen(self, array: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
        if pa.types.is_boolean(array.type):
            array = array.cast(pa.int64())
        elif pa.types.is_int64(array.type):
            ends = pc.min_max(array).as_py()
            beyond = [v for v in ends.values() if v is not None and abs(v) > EXACT_INT]
            if beyond:
                message = (
                    f"metric column {field.name!r} is float64: the integer {beyond[0]}, "
                    "beyond 2**53, was rounded to the nearest float"
                )
                self.warnings.append((f"inexact:{field.name}", message))
        return array.cast(field.type, safe=False)


class _Absent:
    """Columns of rows that have no value there: one array serves all metrics of a type."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._nulls: dict[pa.DataType, pa.Array] = {}

    def column(self, field: pa.Field) -> pa.Array:
        if field.name in FIXED:
            return absent(field.name, field.type, self._rows)
        if field.type not in self._nulls:
            self._nulls[field.type] = pa.nulls(self._rows, field.type)
        return self._nulls[field.type]


def _without_nulls(batch: pa.RecordBatch) -> pa.Table:
    there = [n for n, array in enumerate(batch.columns) if array.null_count < batch.num_rows]
    return pa.Table.from_batches([batch.select(there)])


@contextlib.contextmanager
def _open_own(path: str) -> Iterator[pq.ParquetFile]:
    try:
        source = open_arrow(path)
    except IrregularFileError as exc:
        raise pa.ArrowInvalid(str(exc)) from exc
    with source:
        yield pq.ParquetFile(source, pre_buffer=False)


def group_rows(columns: int) -> int:
    """Rows of a row group: bounded in rows and in bytes, but not silly for wide tables."""
    fitting = MAX_GROUP_BYTES // (8 * columns)
    return max(MIN_GROUP_ROWS, min(MAX_GROUP_ROWS, fitting))


def _encodings(sample: pa.Table) -> tuple[list[str], dict[str, str]]:
    dictionary: list[str] = []
    encodings: dict[str, str] = {}
    head = sample.slice(0, SAMPLE_ROWS)
    for field, column in zip(head.schema, head.columns, strict=True):
        if pa.types.is_string(field.type):
            dictionary.append(field.name)
        elif pa.types.is_float64(field.type):
            values = len(column) - column.null_count
            if values and pc.count_distinct(column, mode="only_valid").as_py() * 2 <= values:
                dictionary.append(field.name)
            else:
                encodings[field.name] = "PLAIN"
        elif not pa.types.is_boolean(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
    return dictionary, encodings
