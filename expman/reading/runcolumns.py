"""Columns of tables that have one value per run: facts, parameters, best numbers of metrics."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

import pyarrow as pa

from expman.reading.catalog_values import cataloged_values
from expman.reading.fields import SUFFIXES, RunFields, fact_of
from expman.reading.plain_arrays import float_array, int_array, text_array
from expman.reading.run import Run

__all__ = ["column_array", "run_columns", "run_table", "run_values"]

_FACTS = (
    *("experiment", "run", "path", "status", "group", "started_at", "finished_at", "duration_s"),
    "rows",
)
"""The facts of a table whose columns were not named."""


def run_values(run: Run, columns: Sequence[str]) -> list[object]:
    """Returns a run's values in several columns, see `RunFields.value`; reads each file once.

    Raises:
        StorageError: a file cannot be read.
    """
    fields = RunFields(run)
    return [fields.value(column) for column in columns]


def run_columns(runs: Iterable[Run]) -> list[str]:
    """Returns all columns that a table of these runs can have but their parameters."""
    metrics = dict.fromkeys(metric for run in runs for metric in run.best_numbers())
    return [*_FACTS, *(f"{metric}:{suffix}" for metric in metrics for suffix in SUFFIXES)]


def run_table(runs: Sequence[Run], columns: Sequence[str]) -> pa.Table:
    """Returns a table with one row per run."""
    known = cataloged_values(runs, columns, fact_of)
    rows = [
        run_values(run, columns) if values is None else values
        for run, values in zip(runs, known, strict=True)
    ]
    values = zip(*rows, strict=True) if rows else [[] for _ in columns]
    return pa.table(dict(zip(columns, map(column_array, values), strict=True)))


def column_array(values: Collection[object]) -> pa.Array:
    """Returns one value of each run as an array: numbers or times if all are, else text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {datetime.datetime}:
        return pa.array(values, pa.timestamp("us", "UTC"))
    if kinds == {int} and all(value is None or abs(value) < 2**63 for value in values):  # type: ignore[arg-type]
        return int_array(list(values))  # type: ignore[arg-type]
    if kinds and kinds <= {int, float}:
        with suppress(OverflowError):  # an integer beyond all floats is text
            return float_array(list(values))  # type: ignore[arg-type]
    return text_array([None if value is None else str(value) for value in values])
