"""The rows of a run as pandas, polars and DuckDB have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from expman.reading.optional import SQL, needs

if TYPE_CHECKING:
    import duckdb
    import pandas
    import polars
    import pyarrow as pa

__all__ = ["RunFrames"]


class _HasRows(Protocol):
    """What `RunFrames` needs of the class that it is a part of."""

    def vectors(self, columns: Sequence[str] | None = None, **options: Any) -> pa.Table: ...


class RunFrames:
    """The part of a Run that gives its rows to other libraries."""

    def to_pandas(
        self: _HasRows, columns: Sequence[str] | None = None, **options: Any
    ) -> pandas.DataFrame:
        """`vectors()` as a pandas DataFrame; takes the same arguments.

        Integers stay exact: their column is `Int64` if some rows have no value. In a column of
        floats, pandas uses NaN both for NaN and for values that were not logged; `vectors()` has
        null for the latter.
        """
        from expman.reading.frames import pandas_frame

        return pandas_frame(self.vectors(columns, **options))

    def to_polars(
        self: _HasRows, columns: Sequence[str] | None = None, **options: Any
    ) -> polars.DataFrame:
        """`vectors()` as a polars DataFrame; takes the same arguments."""
        with needs("polars"):
            import polars

        frame = polars.from_arrow(self.vectors(columns, **options))
        assert isinstance(frame, polars.DataFrame)
        return frame

    def to_duckdb(
        self: _HasRows,
        columns: Sequence[str] | None = None,
        *,
        connection: duckdb.DuckDBPyConnection | None = None,
        **options: Any,
    ) -> duckdb.DuckDBPyRelation:
        """`vectors()` as a DuckDB relation; takes the same arguments, and a connection.

        Metrics whose names differ only by case, such as `loss` and `Loss`, become the columns
        `loss__case1` and `Loss__case2`, because SQL does not distinguish them.
        """
        with needs("duckdb", SQL):
            import duckdb

        from expman.reading.sql import distinct_names

        table = distinct_names(self.vectors(columns, **options))
        return (connection or duckdb).from_arrow(table)
