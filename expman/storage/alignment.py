"""Tables of rows in the columns of the whole run: absent ones filled, narrower ones widened."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from expman.storage.columns import EXACT_INT, FIXED, Warn, absent

__all__ = ["align", "join_sparse", "without_empty_columns"]


def align(table: pa.Table, schema: pa.Schema, warn: Warn) -> pa.Table:
    """Returns the table in the schema, whose columns are those of the table and others."""
    if table.schema.equals(schema):
        return table
    position = {name: number for number, name in enumerate(table.schema.names)}
    filler = _Filler(table.num_rows)
    arrays = []
    for field in schema:
        number = position.get(field.name)
        if number is None:
            arrays.append(filler.column(field))
        else:
            arrays.append(_widen(table.column(number), field, warn))
    return pa.Table.from_arrays(arrays, schema=schema)


def join_sparse(tables: Sequence[pa.Table], schema: pa.Schema, warn: Warn) -> pa.Table:
    """Returns tables one below the other in the schema.

    A column that a table does not have stands for one run of nulls: no array is made for it.
    """
    rows = sum(table.num_rows for table in tables)
    pieces: dict[str, list[tuple[int, pa.ChunkedArray]]] = {}
    start = 0
    for table in tables:
        for name, column in zip(table.schema.names, table.columns, strict=True):
            pieces.setdefault(name, []).append((start, column))
        start += table.num_rows
    filler = _Filler(rows)
    columns = []
    for field in schema:
        chunks, end = [], 0
        for begin, column in pieces.get(field.name, ()):
            if begin > end:
                chunks.append(filler.column(field).slice(0, begin - end))
            chunks += _widen(column, field, warn).chunks
            end = begin + len(column)
        if rows > end:
            chunks.append(filler.column(field).slice(0, rows - end))
        columns.append(pa.chunked_array(chunks, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def without_empty_columns(batch: pa.RecordBatch) -> pa.Table:
    """Returns the batch without the columns that have no value."""
    there = [n for n, array in enumerate(batch.columns) if array.null_count < batch.num_rows]
    return pa.Table.from_batches([batch.select(there)])


class _Filler:
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


def _widen(array: pa.ChunkedArray, field: pa.Field, warn: Warn) -> pa.ChunkedArray:
    if array.type == field.type:
        return array
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int64())
    elif pa.types.is_int64(array.type):
        import pyarrow.compute as pc  # seldom needed, and slow to import

        ends = pc.min_max(array).as_py()
        beyond = [v for v in ends.values() if v is not None and abs(v) > EXACT_INT]
        if beyond:
            message = (
                f"metric column {field.name!r} is float64: the integer {beyond[0]}, "
                "beyond 2**53, was rounded to the nearest float"
            )
            warn(f"inexact:{field.name}", message)
    return array.cast(field.type, safe=False)
