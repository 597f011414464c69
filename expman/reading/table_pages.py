"""Rows of a table that was saved in a run, in Parquet or CSV."""

from __future__ import annotations

from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from expman.errors import StorageError
from expman.reading.rows import python_rows
from expman.reading.tailfiles import unreadable

__all__ = ["MOST_ROWS", "TablePage", "table_page"]

MOST_ROWS = 1000
MOST_CSV_BYTES = 32 * 1024 * 1024


class TablePage(NamedTuple):
    """Some rows of a table.

    Attributes:
        columns: the names of its columns.
        rows: values, in the order of the columns.
        total: rows of the whole table.
    """

    columns: list[str]
    rows: list[list[Any]]
    total: int


def table_page(name: str, file: IO[bytes], offset: int, limit: int) -> TablePage:
    """Reads some rows of a table.

    Args:
        name: the file's name, whose end says what it is.
        file: the opened file.
        offset: rows before the first one.
        limit: rows that are wanted.

    Raises:
        StorageError: it is not a table, or damaged.
    """
    try:
        if name.lower().endswith(".csv"):
            data = file.read(MOST_CSV_BYTES)
            cut = data if len(data) < MOST_CSV_BYTES else data[: data.rfind(b"\n") + 1]
            whole = pyarrow.csv.read_csv(
                pa.BufferReader(cut), pyarrow.csv.ReadOptions(use_threads=False)
            )
            return _page(whole.slice(offset, limit), whole.num_rows)
        parquet = pq.ParquetFile(pa.PythonFile(file, "r"), pre_buffer=False)
        return _page(_slice(parquet, offset, limit), parquet.metadata.num_rows)
    except (pa.ArrowException, OSError) as exc:
        raise unreadable(name, exc) from exc
    except ValueError as exc:
        raise StorageError(name, f"is not a table: {exc}") from exc


def _slice(parquet: pq.ParquetFile, offset: int, limit: int) -> pa.Table:
    """Reads the row groups that have the rows, one after another."""
    groups, before = [], 0
    first = None
    for number in range(parquet.metadata.num_row_groups):
        rows = parquet.metadata.row_group(number).num_rows
        if before + rows > offset and before < offset + limit:
            first = before if first is None else first
            groups.append(number)
        before += rows
    table = parquet.read_row_groups(groups, use_threads=False)
    return table.slice(offset - (first or 0), limit)


def _page(table: pa.Table, total: int) -> TablePage:
    columns = list(table.column_names)
    rows = [[row[name] for name in columns] for row in python_rows(table)]
    return TablePage(columns, rows, total)
