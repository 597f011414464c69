"""The least, the greatest and the last number of a metric, of any run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from expman.metadata import MetricBest
from expman.models import Number
from expman.reading.columns import FIXED
from expman.reading.vectors import columns_of, read_vectors
from expman.storage.best import BestValues
from expman.storage.columns import columns_metadata

__all__ = ["Best", "computed_best"]


class Best(NamedTuple):
    """A number of a metric and where it was logged.

    Attributes:
        value: the number.
        step: the step of its row; None if the row has none.
    """

    value: Number
    step: int | None


def computed_best(run_dir: str, metrics: Sequence[str] | None = None) -> dict[str, MetricBest]:
    """Finds the numbers in the rows of a run, those of the live tail included.

    Args:
        run_dir: the run's directory.
        metrics: only these, as far as the run has numbers of them; all if None.

    Raises:
        StorageError: a file cannot be read.
    """
    columns = None if metrics is None else ["step", *columns_of(run_dir, metrics)]
    table = read_vectors(run_dir, columns)
    metric_of = columns_metadata(table.schema.metadata)
    names = [name for name in table.column_names if name not in FIXED]
    best = BestValues()
    for batch in table.to_batches():
        best.add(batch["step"], [(metric_of.get(name, name), batch[name]) for name in names])
    return best.metrics
