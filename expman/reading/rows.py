"""Rows of a table as Python has them, on machines without a time-zone database, too."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

__all__ = ["PIECE_ROWS", "python_rows", "without_zone"]

PIECE_ROWS = 4096


def without_zone(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """The table with its UTC times as times without a zone, and the names of these columns.

    To make values of Python, or text, of a time with a zone pyarrow asks the system's database,
    for UTC as for any other zone; slim containers have none.
    """
    names = [
        field.name
        for field in table.schema
        if pa.types.is_timestamp(field.type) and field.type.tz == "UTC"
    ]
    for name in names:
        column = table[name]
        plain = pa.timestamp(column.type.unit)
        chunks = [chunk.view(plain) for chunk in column.chunks]
        index = table.schema.get_field_index(name)
        table = table.set_column(index, name, pa.chunked_array(chunks, plain))
    return table, names


def python_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows as dicts, a piece of the table at a time; times are datetimes in UTC."""
    plain, names = without_zone(table)
    for batch in plain.to_batches(max_chunksize=PIECE_ROWS):
        for row in batch.to_pylist():
            for name in names:
                moment = row[name]
                row[name] = None if moment is None else moment.replace(tzinfo=datetime.UTC)
            yield row
