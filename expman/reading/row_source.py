"""Rows of a run to make curves of: those in its files, or the newest ones, kept in memory."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expman.reading.columns import FIXED, stack, wider
from expman.reading.cursor import UNNUMBERED, Cursor
from expman.reading.numpy_arrays import bools
from expman.reading.parquetfile import VectorsParquet
from expman.reading.tailfiles import read_whole, tail_paths
from expman.reading.vectors import new_rows
from expman.storage.columns import Kind, columns_metadata
from expman.storage.paths import VECTORS, storage_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FileRows", "KeptRows", "RowSource", "ends_of"]

Span = tuple[str, object, object]


def ends_of(table: pa.Table) -> dict[str, int]:
    """Returns the `_seq` after the last one of each producer in a table."""
    if not table.num_rows:
        return {}
    ends = table.group_by("_producer", use_threads=False).aggregate([("_seq", "max")])
    pairs = zip(ends["_producer"].to_pylist(), ends["_seq_max"].to_pylist(), strict=True)
    return {producer: seq + 1 for producer, seq in pairs}


class RowSource(ABC):
    """Rows, of which columns are read.

    Attributes:
        cursor: how far the rows go.
    """

    cursor: Cursor

    def __init__(self, schemas: Collection[pa.Schema]) -> None:
        self._types: dict[str, pa.DataType] = {}
        self._columns: dict[str, list[str]] = {}
        for schema in schemas:
            metric_of = columns_metadata(schema.metadata)
            for field in schema:
                self._types[field.name] = wider(self._types.get(field.name), field.type)
                if field.name not in FIXED:
                    names = self._columns.setdefault(metric_of.get(field.name, field.name), [])
                    if field.name not in names:
                        names.append(field.name)

    def has(self, column: str) -> bool:
        """Returns whether some file has a column."""
        return column in self._types

    def number_column(self, metric: str) -> str | None:
        """Returns the column that has the numbers of a metric; None if it has none."""
        for name in self._columns.get(metric, ()):
            if Kind.of_type(self._types[name]) not in (None, Kind.TEXT):
                return name
            if pa.types.is_floating(self._types[name]) or pa.types.is_integer(self._types[name]):
                return name
        return None

    def number_metrics(self) -> list[str]:
        """Returns the metrics that have numbers."""
        return [metric for metric in self._columns if self.number_column(metric) is not None]

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Reads some columns of all rows that are not ruled out.

        Raises:
            StorageError: a file cannot be read.
        """
        types = {name: self._types[name] for name in dict.fromkeys(columns)}
        tables = self._tables(frozenset(types))
        if not types:
            count = sum(table.num_rows for table in tables)
            return pa.table({"": pa.nulls(count)}).select([])
        return stack(tables, types)

    def narrow(self, span: Span | None, after: Cursor | None) -> None:
        """Rules out what need not be read: rows that are still there may be outside."""
        return  # what is in memory is all taken

    @abstractmethod
    def first_second(self) -> float:
        """Returns when the first row was logged, in seconds since the epoch; NaN if none was."""

    @abstractmethod
    def _tables(self, columns: frozenset[str]) -> list[pa.Table]:
        """Reads some columns; a table may lack some."""

    def is_after(self, table: pa.Table, after: Cursor) -> NDArray[np.bool_]:
        """Marks the rows that a cursor does not include.

        Args:
            table: has `_producer` and `_seq`, if the rows have them.
            after: the cursor.
        """
        if not self.has("_seq"):
            return np.arange(table.num_rows) >= after.get(UNNUMBERED, 0)
        codes = pc.index_in(table["_producer"], pa.array(list(after), pa.string()))
        bounds = pa.array(list(after.values()), pa.int64()).take(codes.combine_chunks())
        later = pc.greater_equal(table["_seq"].combine_chunks(), pc.fill_null(bounds, 0))
        return bools(later)


class FileRows(RowSource):
    """The rows in the files of a run, which are opened once. Close it.

    Attributes:
        signature: what is in the files; the same rows have the same.

    Raises:
        StorageError: a file cannot be read.
    """

    def __init__(self, run_dir: str, stem: str = VECTORS) -> None:
        # The tail first, as in vectors.py: rows that leave it are in vectors.parquet by then.
        found = [one for path in tail_paths(run_dir, stem) if (one := read_whole(path, None))]
        self._tails = [table for _, table in found]
        self._parquet = VectorsParquet.open(run_dir, stem)
        self._groups: list[int] | None = None
        schemas = [schema for schema, _ in found]
        if self._parquet is not None:
            schemas.insert(0, self._parquet.schema)
            self._tails = new_rows(self._tails, self._parquet)
        super().__init__(schemas)
        self.cursor = self._find_cursor()
        self.signature = (_inode(run_dir), *sorted(self.cursor.items()))

    def _find_cursor(self) -> dict[str, int]:
        if not self.has("_seq"):
            rows = sum(table.num_rows for table in self._tails)
            return {UNNUMBERED: rows + (self._parquet.rows if self._parquet is not None else 0)}
        cursor = {} if self._parquet is None else dict(self._parquet.lanes or {})
        for table in self._tails:
            for producer, seq in ends_of(table).items():
                cursor[producer] = max(seq, cursor.get(producer, 0))
        return cursor

    def narrow(self, span: Span | None, after: Cursor | None) -> None:
        """Leaves out row groups that have nothing of a span, or nothing after a cursor."""
        if self._parquet is None:
            return
        if after is not None and self._parquet.lanes is not None:
            lanes = self._parquet.lanes
            if all(after.get(producer, 0) >= seq for producer, seq in lanes.items()):
                self._groups = []
                return
            lowest = min((after.get(producer, 0) for producer in lanes), default=0)
            self._groups = self._parquet.groups_with("_seq", lowest, None)
        elif span is not None:
            self._groups = self._parquet.groups_with(*span)  # type: ignore[arg-type]

    def first_second(self) -> float:
        """Returns when the first row was logged, in seconds since the epoch."""
        if self._parquet is not None and self._parquet.rows and self.has("timestamp"):
            return _earliest(self._parquet.read({"timestamp"}, [0]))
        return min((_earliest(table) for table in self._tails), default=float("nan"))

    def _tables(self, columns: frozenset[str]) -> list[pa.Table]:
        tables = [_some_columns(table, columns) for table in self._tails]
        if self._parquet is not None:
            tables.insert(0, self._parquet.read(columns, self._groups))
        return tables

    def close(self) -> None:
        """Closes the files."""
        if self._parquet is not None:
            self._parquet.close()


class KeptRows(RowSource):
    """Rows that are in memory.

    Args:
        tables: the rows, in order.
        cursor: how far they go.
        first_second: when the first row of the run was logged.
    """

    def __init__(self, tables: Sequence[pa.Table], cursor: Mapping[str, int], first_second: float):
        super().__init__([table.schema for table in tables])
        self.cursor = cursor
        self._kept = tables
        self._first_second = first_second

    def first_second(self) -> float:
        """Returns when the first row was logged, in seconds since the epoch."""
        return self._first_second

    def _tables(self, columns: frozenset[str]) -> list[pa.Table]:
        return [_some_columns(table, columns) for table in self._kept]


def _some_columns(table: pa.Table, columns: Collection[str]) -> pa.Table:
    return table.select([name for name in table.column_names if name in columns])


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError as exc:
        raise storage_error(path, exc) from exc


def _earliest(table: pa.Table) -> float:
    moment = pc.min(table["timestamp"].cast(pa.timestamp("us")).cast(pa.int64())).as_py()
    return float("nan") if moment is None else moment / 1e6
