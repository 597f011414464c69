"""Column names for SQL, which does not distinguish names that differ only by case."""

from __future__ import annotations

from collections import Counter
from itertools import count

import pyarrow as pa

from expman.fixed_columns import reserved

__all__ = ["distinct_names"]

_FIXED = reserved() | {"experiment", "run"}


def distinct_names(table: pa.Table) -> pa.Table:
    """Renames columns that SQL does not distinguish, such as `loss` and `Loss`.

    DuckDB resolves either name to the first of them. They become `loss__case1` and `Loss__case2`,
    in their order, so that a query for the plain name fails. All other columns keep their names.
    Names that are not plain words need quotes: `SELECT "train/loss"`.
    """
    names: list[str] = table.column_names
    alike = Counter(map(str.lower, names))
    taken = set(alike)
    renamed = []
    for name in names:
        lower = name.lower()
        if alike[lower] > 1 and name not in _FIXED:
            number = next(n for n in count(1) if f"{lower}__case{n}" not in taken)
            taken.add(f"{lower}__case{number}")
            name = f"{name}__case{number}"
        renamed.append(name)
    return table.rename_columns(renamed)
