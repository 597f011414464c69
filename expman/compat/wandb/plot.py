"""The charts of `wandb.plot`: what they are made of is kept as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from expman.compat.wandb.data_types import Loggable
from expman.compat.wandb.table import Table
from expman.engine import LoggingEngine

__all__ = [
    "Chart",
    "bar",
    "confusion_matrix",
    "histogram",
    "line",
    "line_series",
    "pr_curve",
    "roc_curve",
    "scatter",
]


class Chart(Loggable):
    """A table of which wandb's page draws a chart.

    Args:
        table: what the chart shows.
        title: kept as a text under `TAG/caption`.
        matrix: a confusion matrix, kept instead: its rows, and the names of the classes.
    """

    def __init__(
        self,
        table: Table | None,
        title: str,
        matrix: tuple[list[list[int]], list[str]] | None = None,
    ) -> None:
        self.table, self._title, self._matrix = table, title, matrix

    def send(self, engine: LoggingEngine, tag: str, step: int) -> None:
        """Logs it. Durability: published when it returns."""
        if self._matrix is not None:
            counts, names = self._matrix
            engine.log_confusion_matrix(tag, counts, step, labels=names)
        if self.table is not None:
            self.table.send(engine, tag, step)
        if self._title:
            engine.log_text(f"{tag}/caption", self._title, step)


def line(
    table: Table, x: str, y: str, stroke: str | None = None, title: str = "", **_: Any
) -> Chart:
    """A line; its table is kept."""
    return Chart(table, title)


def scatter(table: Table, x: str, y: str, title: str = "", **_: Any) -> Chart:
    """Points; their table is kept."""
    return Chart(table, title)


def bar(table: Table, label: str, value: str, title: str = "", **_: Any) -> Chart:
    """Bars; their table is kept."""
    return Chart(table, title)


def histogram(table: Table, value: str, title: str = "", **_: Any) -> Chart:
    """A distribution; its table is kept."""
    return Chart(table, title)


def line_series(
    xs: Iterable[Any],
    ys: Iterable[Iterable[Any]],
    keys: Iterable[str] | None = None,
    title: str = "",
    xname: str = "x",
    **_: Any,
) -> Chart:
    """Several lines; they are kept as a table with a row for each point."""
    series = [list(line) for line in ys]
    places = list(xs)
    if not places or not isinstance(places[0], list | tuple):
        places = [places] * len(series)
    names = [str(key) for key in keys] if keys else [f"line_{n}" for n in range(len(series))]
    rows = [
        [name, x, y]
        for name, at, values in zip(names, places, series, strict=True)
        for x, y in zip(at, values, strict=False)
    ]
    return Chart(Table(columns=["line", xname, "y"], data=rows), title)


def confusion_matrix(
    probs: Sequence[Sequence[float]] | None = None,
    y_true: Sequence[Any] | None = None,
    preds: Sequence[Any] | None = None,
    class_names: Sequence[str] | None = None,
    title: str = "",
    **_: Any,
) -> Chart:
    """How often each class was taken for each.

    Raises:
        ValueError: neither predictions nor probabilities are there.
    """
    truth = [] if y_true is None else [_plain(value) for value in y_true]
    if preds is not None:
        taken = [_plain(value) for value in preds]
    elif probs is not None:
        taken = [max(range(len(row)), key=list(row).__getitem__) for row in probs]
    else:
        raise ValueError("confusion_matrix needs preds or probs")
    if len(truth) != len(taken):
        raise ValueError(f"confusion_matrix has {len(truth)} labels, {len(taken)} predictions")
    classes: list[Any] = sorted({*truth, *taken})
    if class_names is not None and all(isinstance(value, int) for value in classes):
        classes = list(range(len(class_names)))
    place = {value: number for number, value in enumerate(classes)}
    counts = [[0] * len(classes) for _ in classes]
    for is_class, as_class in zip(truth, taken, strict=True):
        counts[place[is_class]][place[as_class]] += 1
    names = list(map(str, class_names if class_names is not None else classes))
    if len(names) != len(classes):
        raise ValueError(f"confusion_matrix has {len(names)} names, {len(classes)} classes")
    return Chart(None, title, (counts, names))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def pr_curve(*_: Any, **__: Any) -> Chart:
    """Raises NotImplementedError."""
    raise NotImplementedError(
        "wandb.plot.pr_curve is not there: it is computed by scikit-learn. Instead: "
        "expman.SummaryWriter().add_pr_curve(tag, labels, predictions), or log a Table"
    )


def roc_curve(*_: Any, **__: Any) -> Chart:
    """Raises NotImplementedError."""
    raise NotImplementedError(
        "wandb.plot.roc_curve is not there: it is computed by scikit-learn. Instead: log a Table "
        "with the result of sklearn.metrics.roc_curve, or a figure"
    )
