"""Encoders of rows as CSV, JSON and Parquet."""

from __future__ import annotations

import json
from typing import BinaryIO, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from expman.reading.json_values import json_value
from expman.reading.rows import python_rows, without_zone
from expman.storage.columns import FIXED

__all__ = ["write_table"]


def write_table(table: pa.Table, kind: Literal["csv", "json", "parquet"], file: BinaryIO) -> None:
    """Writes a table, with every name and text exact.

    csv: an empty cell was not logged, `nan` and `inf` were.
    json: one object per line, with the metrics that were logged; NaN and infinities are null.
    """
    match kind:
        case "csv":
            pyarrow.csv.write_csv(_with_times_as_text(table), file)
        case "parquet":
            pq.write_table(table, file, compression="zstd")
        case "json":
            for row in map(_logged, python_rows(table)):
                file.write(f"{json.dumps(json_value(row), ensure_ascii=False)}\n".encode())
    file.flush()


def _with_times_as_text(table: pa.Table) -> pa.Table:
    table, names = without_zone(table)
    for name in names:
        text = pc.binary_join_element_wise(table[name].cast(pa.string()), "Z", "")
        table = table.set_column(table.schema.get_field_index(name), name, text)
    return table


def _logged(row: dict[str, object]) -> dict[str, object]:
    return {key: row[key] for key in row if row[key] is not None or key in FIXED}
