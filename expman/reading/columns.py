"""The columns of a run's rows: which ones are fixed, how types widen, how tables are stacked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from expman.errors import ConfigError
from expman.storage.columns import FIXED, Kind, absent
from expman.suggestions import did_you_mean

__all__ = ["FIXED", "no_such_column", "stack", "wider"]

_NAMED = 30


def no_such_column(what_fails: str, missing: Sequence[str], known: Sequence[str]) -> ConfigError:
    """Makes the error for requested columns that do not exist.

    Args:
        what_fails: how the message begins: "run a/b has no column", "none of 4 runs has a column".
        missing: the columns that were asked for and do not exist.
        known: the metrics that exist.
    """
    names = ", ".join(known[:_NAMED]) or "none yet"
    if len(known) > _NAMED:
        names += f" and {len(known) - _NAMED} more"
    wanted = " or ".join(map(repr, missing))
    hint = did_you_mean(missing, known)
    rule = f"{what_fails} {wanted}{hint or ';'} {'M' if hint else 'm'}etrics: {names}"
    return ConfigError("columns", list(missing), rule)


def wider(known: pa.DataType | None, other: pa.DataType) -> pa.DataType:
    """Returns the type that holds the values of both: bool, int64, float64; else the later one."""
    first = None if known is None else Kind.of_type(known)
    second = Kind.of_type(other)
    if first is None or second is None or Kind.TEXT in (first, second):
        return other
    return max(first, second).arrow


def stack(tables: Iterable[pa.Table], types: Mapping[str, pa.DataType]) -> pa.Table:
    """Concatenates tables with exactly these columns; null or a default in gaps."""
    schema = pa.schema(list(types.items()))
    pieces = []
    for table in tables:
        arrays = []
        for name, wanted in types.items():
            index = table.schema.get_field_index(name)
            if index < 0:
                arrays.append(absent(name, wanted, table.num_rows))
            else:
                arrays.append(_cast(table.column(index), wanted))
        if arrays:
            pieces.append(pa.Table.from_arrays(arrays, schema=schema))
    return pa.concat_tables(pieces) if pieces else schema.empty_table()


def _cast(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    if column.type == wanted:
        return column
    # Integers beyond 2**53 lose digits where their column became float64, as in the files.
    return column.cast(wanted, safe=False)
