"""Columns of tables that have one value per run: facts, parameters, best numbers of metrics."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress

import pyarrow as pa

from expman.errors import ConfigError, StorageError
from expman.reading.best import KINDS
from expman.reading.params import flat_params
from expman.reading.run import Run
from expman.reading.signatures import signature_of
from expman.storage.paths import CONFIG_YAML
from expman.suggestions import did_you_mean

__all__ = ["check_columns", "known_value", "run_columns", "run_table", "run_value", "run_values"]

_FACTS: dict[str, Callable[[Run], object]] = {
    "experiment": lambda run: run.experiment,
    "run": lambda run: run.name,
    "path": lambda run: run.path,
    "status": lambda run: str(run.status),
    "group": lambda run: run.group,
    "started_at": lambda run: run.started_at,
    "finished_at": lambda run: run.finished_at,
    "duration_s": lambda run: None if (took := run.duration) is None else took.total_seconds(),
    "rows": lambda run: run.metadata.rows_written,
}
_NAMES = frozenset({"experiment", "run"})
_PARAMS = "params."
_SEARCHED = 20
"""Runs whose names are searched for a suggestion; reading all might take long."""
_RULE = f"must be one of {', '.join(_FACTS)}, params.KEY, or METRIC:min, METRIC:max, METRIC:last"
_SUFFIXES = (*KINDS, *(f"{kind}_step" for kind in KINDS))


def run_value(run: Run, column: str) -> object:
    """Returns a run's value in a column; None if it has none.

    Args:
        run: the run.
        column: a fact, such as `status`; `params.KEY`, dots for nested ones; `METRIC:min`,
            `METRIC:max` or `METRIC:last`, or with `_step` behind it the step of that number.

    Raises:
        ConfigError: there is no such column.
        StorageError: a file cannot be read.
    """
    try:
        return _cataloged(run, [column])[0]
    except LookupError:
        return _stored(run, column)


def _stored(run: Run, column: str) -> object:
    if column in _FACTS:
        return _FACTS[column](run)
    if column.startswith(_PARAMS):
        return flat_params(run.config).get(column.removeprefix(_PARAMS))
    metric, _, suffix = column.rpartition(":")
    if not metric or suffix not in _SUFFIXES:
        raise ConfigError("columns", column, _RULE)
    found: object = getattr(run.best_numbers([metric]).get(metric), suffix, None)
    return found


def _cataloged(run: Run, columns: Sequence[str]) -> list[object]:
    """Returns what a catalog has of a run in some columns.

    Raises:
        LookupError: not all of it, or it does not hold; the run's files have it.
    """
    catalog, row = run._catalog, run._row
    if catalog is None:
        raise LookupError
    if _NAMES.issuperset(columns):
        return [catalog.values(column)[row] for column in columns]
    if not catalog.holds(row, run.path):
        raise LookupError
    params = None
    values: list[object] = []
    for column in columns:
        if column == "path":
            values.append(run.path)
        elif column in _FACTS:
            values.append(catalog.values(column)[row])
        elif column.startswith(_PARAMS):
            if params is None:
                expected = catalog.values("config_signature")[row]
                if expected != signature_of(run.path, CONFIG_YAML):
                    raise LookupError
                params = catalog.value(row, "params")
            values.append(params.get(column.removeprefix(_PARAMS)))
        else:
            metric, _, suffix = column.rpartition(":")
            if not metric or suffix not in _SUFFIXES:
                raise LookupError
            values.append(catalog.value(row, "best").get(metric, {}).get(suffix))
    return values


def run_values(run: Run, columns: Sequence[str]) -> list[object]:
    """Returns a run's values in several columns, as `run_value` does; reads each file once.

    Raises:
        ConfigError: there is no such column.
        StorageError: a file cannot be read.
    """
    with suppress(LookupError):
        return _cataloged(run, columns)
    params = None
    if any(column.startswith(_PARAMS) for column in columns):
        params = flat_params(run.config)
    return [
        params.get(column.removeprefix(_PARAMS))
        if params is not None and column.startswith(_PARAMS)
        else _stored(run, column)
        for column in columns
    ]


def known_value(run: Run, column: str) -> object:
    """Returns a run's value in a column; None if it has none, or cannot be read."""
    try:
        return run_value(run, column)
    except StorageError:
        return None


def check_columns(runs: Sequence[Run], columns: Iterable[str]) -> None:
    """Checks that some run has each column.

    Raises:
        ConfigError: no run has it; the message suggests one that resembles it.
    """
    for column in columns:
        if column in _FACTS or any(known_value(run, column) is not None for run in runs):
            continue
        if column.startswith(_PARAMS):
            known = [_PARAMS + key for run in runs[:_SEARCHED] for key in flat_params(run.config)]
            rule = f"no run has the parameter {column.removeprefix(_PARAMS)!r}"
        else:
            metric, _, suffix = column.rpartition(":")
            names = dict.fromkeys(name for run in runs[:_SEARCHED] for name in run.best_numbers())
            # The suffix, which all have, must not count as a resemblance.
            known = [f"{name}:{suffix}" for name in names if did_you_mean([metric], [name])]
            rule = f"no run has a number of the metric {metric!r}"
        raise ConfigError("columns", column, rule + did_you_mean([column], known))


def run_columns(runs: Iterable[Run]) -> list[str]:
    """Returns all columns that a table of these runs can have but their parameters."""
    metrics = dict.fromkeys(metric for run in runs for metric in run.best_numbers())
    return [*_FACTS, *(f"{metric}:{suffix}" for metric in metrics for suffix in _SUFFIXES)]


def run_table(runs: Sequence[Run], columns: Sequence[str]) -> pa.Table:
    """Returns a table with one row per run."""
    rows = [run_values(run, columns) for run in runs]
    values = zip(*rows, strict=True) if rows else [[] for _ in columns]
    return pa.table(dict(zip(columns, map(_column_array, values), strict=True)))


def _column_array(values: Collection[object]) -> pa.Array:
    """Returns one value of each run as an array: numbers or times if all are, else text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {datetime.datetime}:
        return pa.array(values, pa.timestamp("us", "UTC"))
    if kinds == {int} and all(value is None or abs(value) < 2**63 for value in values):  # type: ignore[arg-type]
        return pa.array(values, pa.int64())
    if kinds and kinds <= {int, float}:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())  # type: ignore[arg-type]
    return pa.array([None if v is None else str(v) for v in values], pa.string())
