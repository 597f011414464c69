"""Conversion of tables to pandas DataFrames with exact integers."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from expman.reading.optional import needs
from expman.reading.rows import without_zone

if TYPE_CHECKING:
    import pandas

__all__ = ["pandas_frame"]


def pandas_frame(table: pa.Table) -> pandas.DataFrame:
    """Converts a table; integers that some rows lack become `Int64`, not floats."""
    with needs("pandas"):
        import pandas

    table, times = without_zone(table)
    sparse = [
        field.name
        for field, column in zip(table.schema, table.columns, strict=True)
        if pa.types.is_integer(field.type) and column.null_count
    ]
    exact = table.select(sparse).to_pandas(types_mapper={pa.int64(): pandas.Int64Dtype()}.get)
    rest = table.drop_columns(sparse).to_pandas()
    for name in times:
        rest[name] = rest[name].dt.tz_localize(datetime.UTC)
    return pandas.concat([rest, exact], axis="columns")[table.column_names] if sparse else rest
