"""`Table`: rows with named columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from expman.compat.wandb.data_types import Loggable
from expman.engine import LoggingEngine
from expman.shown import count_of

__all__ = ["Table"]


class Table(Loggable):
    """Rows with named columns, kept as Parquet.

    A picture in a cell is logged under `TAG/COLUMN/ROW`, and the cell has that tag. A column with
    values of several types becomes text.

    Args:
        columns: names of the columns.
        data: rows, as lists; or a DataFrame.
        rows: another name of `data`.
        dataframe: a DataFrame of pandas.
        dtype: not used.
        optional: not used: a cell may always be None.
        allow_mixed_types: not used: mixed columns become text.
        log_mode: not used: each `log` keeps the whole table.
    """

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        data: Any = None,
        rows: Any = None,
        dataframe: Any = None,
        dtype: Any = None,
        optional: Any = True,
        allow_mixed_types: bool = False,
        log_mode: str | None = None,
    ) -> None:
        if dataframe is None and hasattr(data, "columns"):
            dataframe, data = data, None
        if dataframe is not None:
            columns = [str(name) for name in dataframe.columns]
            data = dataframe.to_numpy(dtype=object).tolist()
        found = rows if data is None else data
        self.data: list[list[Any]] = [] if found is None else [list(row) for row in found]
        if columns is None:
            columns = ["Input", "Output", "Expected"]
            if self.data:
                columns = [str(number) for number in range(len(self.data[0]))]
        self.columns = [str(name) for name in columns]
        for row in self.data:
            self._check(row)

    def _check(self, row: Sequence[Any]) -> None:
        if len(row) != len(self.columns):
            raise ValueError(
                f"a row has {count_of(len(row), 'value')}, and the table "
                f"{count_of(len(self.columns), 'column')}: {', '.join(self.columns)}"
            )

    def add_data(self, *values: Any) -> None:
        """Adds a row.

        Raises:
            ValueError: it has not one value for each column.
        """
        self._check(values)
        self.data.append(list(values))

    def add_row(self, *row: Any) -> None:
        """The same; one list is a row, too."""
        self.add_data(*(row[0] if len(row) == 1 and isinstance(row[0], list | tuple) else row))

    def add_column(self, name: str, data: Any, optional: bool = False) -> None:
        """Adds a column.

        Raises:
            ValueError: it has not one value for each row.
        """
        values = list(data)
        if self.data and len(values) != len(self.data):
            raise ValueError(
                f"column {name!r} has {len(values)} values, the table {len(self.data)}"
            )
        if not self.data:
            self.data, self.columns = [[] for _ in values], []
        for row, value in zip(self.data, values, strict=True):
            row.append(value)
        self.columns.append(str(name))

    def get_column(self, name: str, convert_to: str | None = None) -> Any:
        """The values of a column; as an array with `convert_to="numpy"`."""
        place = self.columns.index(name)
        values = [row[place] for row in self.data]
        if convert_to != "numpy":
            return values
        import numpy as np

        return np.array(values)

    def get_dataframe(self) -> Any:
        """The table as a DataFrame of pandas."""
        import pandas as pd

        return pd.DataFrame(self.data, columns=self.columns)

    def iterrows(self) -> Iterator[tuple[int, list[Any]]]:
        """Number and values of each row."""
        return iter(enumerate(self.data))

    def __len__(self) -> int:
        return len(self.data)

    def send(self, engine: LoggingEngine, tag: str, step: int) -> None:
        """Logs it. Durability: published when it returns."""
        names = [
            f"{name}_{place}" if name in self.columns[:place] else name
            for place, name in enumerate(self.columns)
        ]
        columns = []
        for place, name in enumerate(names):
            column = [row[place] for row in self.data]
            for number, cell in enumerate(column):
                if isinstance(cell, Loggable):
                    column[number] = f"{tag}/{name}/{number}"
                    cell.send(engine, column[number], step)
            columns.append(_of_one_type([_plain(cell) for cell in column]))
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        engine.log_table(tag, rows, step)


def _plain(cell: Any) -> Any:
    """A cell as Python's own kind of value, if it is a tensor or an array."""
    if hasattr(cell, "detach"):
        cell = cell.detach().cpu()
    return cell.tolist() if callable(getattr(cell, "tolist", None)) else cell


def _of_one_type(column: list[Any]) -> list[Any]:
    kinds = {type(cell) for cell in column if cell is not None}
    if kinds <= {int, float}:
        return [float(cell) if cell is not None and len(kinds) > 1 else cell for cell in column]
    if len(kinds) == 1 and kinds <= {bool, str, list, bytes}:
        return column
    return [None if cell is None else str(cell) for cell in column]
