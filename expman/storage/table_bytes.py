"""A table of the user's as the bytes of a Parquet file. The only part of a trainer with pyarrow."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from expman.shown import type_name

__all__ = ["parquet_of"]


def parquet_of(tag: str, table: Any) -> bytes:
    """Converts a list of dicts, or anything that Arrow takes.

    Raises:
        TypeError, ValueError: naming the tag.
    """
    try:
        if isinstance(table, list | tuple):
            keys = {key: None for row in table for key in row}
            rows = [dict(row) for row in table]
            made = pa.table({str(key): [row.get(key) for row in rows] for key in keys})
        else:
            made = pa.table(table)
        file = pa.BufferOutputStream()
        pq.write_table(made, file, compression="zstd")
    except (pa.ArrowException, TypeError, ValueError, AttributeError, OverflowError) as exc:
        what = f"table {tag!r} ({type_name(table)})"
        accepted = "pass a list of dicts, a DataFrame, or an Arrow table"
        raise ValueError(f"{what} cannot be kept: {exc}; {accepted}") from exc
    return bytes(file.getvalue())
