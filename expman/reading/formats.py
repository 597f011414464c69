"""Rows as CSV, JSON and Parquet; values as JSON can hold them."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from typing import BinaryIO, Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

__all__ = ["plain", "write_table"]

_PIECE_ROWS = 10_000


def write_table(table: pa.Table, kind: Literal["csv", "json", "parquet"], file: BinaryIO) -> None:
    """Writes a table; json is one object per line, with null for NaN and infinities."""
    match kind:
        case "csv":
            pyarrow.csv.write_csv(table, file)
        case "parquet":
            pq.write_table(table, file, compression="zstd")
        case "json":
            for batch in table.to_batches(max_chunksize=_PIECE_ROWS):
                lines = (json.dumps(plain(row), ensure_ascii=False) for row in batch.to_pylist())
                file.write("".join(f"{line}\n" for line in lines).encode())
    file.flush()


def plain(value: object) -> object:
    """A value as JSON can hold it."""
    match value:
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case float():
            return value if math.isfinite(value) else None
        case datetime.datetime() | datetime.date():
            return value.isoformat()
        case datetime.timedelta():
            return value.total_seconds()
        case None | bool() | int() | str():
            return value
    return str(value)
