"""Rows of a table as Python objects; needs no time-zone database."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

__all__ = ["PIECE_ROWS", "python_rows", "without_zone"]

PIECE_ROWS = 4096


def without_zone(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """Returns the table with UTC times as times without a zone, and the names of these columns.

    To convert a time with a zone, even UTC, pyarrow reads the system's time-zone database, which
    slim containers do not have.
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
    """Yields the rows as dicts, converting a piece of the table at a time; times are in UTC."""
    plain, names = without_zone(table)
    for batch in plain.to_batches(max_chunksize=PIECE_ROWS):
        for row in batch.to_pylist():
            for name in names:
                moment = row[name]
                row[name] = None if moment is None else moment.replace(tzinfo=datetime.UTC)
            yield row
