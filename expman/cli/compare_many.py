"""`expman compare` of many runs: a line for each, with what differs as columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import click

from expman.cli.output import console, print_note
from expman.cli.runs import count_runs
from expman.errors import ConfigError
from expman.reading.differences import ABSENT, differ
from expman.reading.fields import known_value
from expman.reading.find import RunList
from expman.reading.run import Run
from expman.reading.runs_table import runs_view
from expman.reading.text import format_names
from expman.shown import count_of

__all__ = ["print_many", "sorted_runs"]

_MOST_METRICS = 6
_MOST_PARAMS = 12
_GREATER = ("acc", "auc", "f1", "score", "reward", "return", "iou", "bleu", "precision", "recall")
_LESS = ("loss", "error", "perplexity", "rmse", "nll")
"""Parts of names of metrics of which more, or less, is better."""
_HELD_OUT = re.compile(r"(?<![a-z])(val|valid|validation|test|eval|evaluation|dev)(?![a-z])")
"""What the name of a metric has that is measured on data held out of the training."""


def print_many(
    found: Sequence[Run],
    params: Mapping[str, Sequence[object]],
    sort: str | None,
    metrics: Sequence[str],
) -> None:
    """Shows a line for each run.

    Args:
        found: the runs.
        params: the parameters to show, with a value for each run.
        sort: the column to sort by; None for the best value of a metric; which one is said.
        metrics: the metrics to show; all if there are none.

    Raises:
        click.UsageError: no run has the column to sort by.
    """
    logged = dict.fromkeys(name for run in found for name in (*run.latest, *run.scalars))
    names = list(metrics or logged)
    order = sort or _usual_order(found, names)
    listed = RunList(found) if order is None else sorted_runs(found, order)
    places = {run.path: place for place, run in enumerate(found)}
    columns: dict[str, Sequence[object]] = {}
    if order is not None:
        columns[order] = [known_value(run, order) for run in listed]
    for name, values in list(params.items())[:_MOST_PARAMS]:
        chosen = [values[places[run.path]] for run in listed]
        columns[name] = [None if value is ABSENT else value for value in chosen]
    values_of = [{**run.scalars, **run.latest} for run in listed]
    latest = {name: [values.get(name) for values in values_of] for name in names}
    differing = {name: values for name, values in latest.items() if differ(values)}
    shown = list(differing)[:_MOST_METRICS]
    columns |= {name: differing[name] for name in shown if name not in columns}
    console().print(runs_view(listed.listed(), columns))
    _report(order if sort is None else None, params, list(differing), len(latest), len(found))


def sorted_runs(found: Sequence[Run], order: str) -> RunList:
    """Sorts runs by a column.

    Raises:
        click.UsageError: no run has the column.
    """
    try:
        return RunList(found).sorted_by(order)
    except ConfigError as exc:
        raise click.UsageError(f"--sort {order}: {exc.rule}") from None


def _usual_order(runs: Sequence[Run], names: Sequence[str]) -> str | None:
    """Returns the best value of a metric that has numbers.

    That is one that is measured on held-out data, else one whose name says whether less or more is
    better, else the first one.
    """
    for name in sorted(names, key=_rank):  # stable: in the order of logging otherwise
        best = "max" if _has(name, _GREATER) else "min"
        if any(known_value(run, f"{name}:{best}") is not None for run in runs):
            return f"{name}:{best}"
    return None


def _rank(name: str) -> int:
    if not _has(name, _GREATER + _LESS):
        return 2
    return 0 if _HELD_OUT.search(name.lower()) else 1


def _has(name: str, parts: Sequence[str]) -> bool:
    return any(part in name.lower() for part in parts)


def _report(
    order: str | None,
    params: Mapping[str, Sequence[object]],
    metrics: Sequence[str],
    all_metrics: int,
    runs: int,
) -> None:
    """Says what the table leaves out."""
    if order is not None:
        print_note(f"{count_runs(runs)}, sorted by {order}; another order: --sort METRIC:min")
    if len(params) > _MOST_PARAMS:
        left = format_names(list(params)[_MOST_PARAMS:])
        print_note(f"parameters that differ and are not shown: {left}; --json prints all")
    if len(metrics) > _MOST_METRICS:
        left = format_names(metrics[_MOST_METRICS:])
        print_note(f"metrics that are not shown: {left}; choose metrics with -m, or --json")
    if all_metrics > len(metrics):
        same = all_metrics - len(metrics)
        print_note(f"not shown: {count_of(same, 'metric')} with one last value in all runs")
