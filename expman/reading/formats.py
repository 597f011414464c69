"""Rows as CSV, JSON and Parquet; values as JSON can hold them."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from typing import BinaryIO, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from expman.storage.columns import RESERVED_COLUMNS

__all__ = ["plain", "write_table"]

_PIECE_ROWS = 10_000


def write_table(table: pa.Table, kind: Literal["csv", "json", "parquet"], file: BinaryIO) -> None:
    """Writes a table, with every name and text exact.

    csv: an empty cell was not logged, `nan` and `inf` were.
    json: one object per line, with the metrics that were logged; NaN and infinities are null.
    """
    match kind:
        case "csv":
            pyarrow.csv.write_csv(_with_plain_times(table), file)
        case "parquet":
            pq.write_table(table, file, compression="zstd")
        case "json":
            for batch in table.to_batches(max_chunksize=_PIECE_ROWS):
                rows = map(_logged, batch.to_pylist())
                lines = (json.dumps(plain(row), ensure_ascii=False) for row in rows)
                file.write("".join(f"{line}\n" for line in lines).encode())
    file.flush()


def _with_plain_times(table: pa.Table) -> pa.Table:
    """Times as text: pyarrow would ask the time-zone database for UTC, which may not be there."""
    for number, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.tz == "UTC":
            chunks = [
                pc.binary_join_element_wise(
                    chunk.view(pa.timestamp(field.type.unit)).cast(pa.string()), "Z", ""
                )
                for chunk in table.column(number).chunks
            ]
            table = table.set_column(number, field.name, pa.chunked_array(chunks, pa.string()))
    return table


def _logged(row: dict[str, object]) -> dict[str, object]:
    return {key: row[key] for key in row if row[key] is not None or key in RESERVED_COLUMNS}


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
