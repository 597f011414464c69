"""The calls of SummaryWriter that log distributions and curves."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from expman.integrations.tensorboard_run import WriterRun
from expman.integrations.tensors import array_of

__all__ = ["CurveCalls"]


class CurveCalls(WriterRun):
    """Distributions become histograms, curves become tables."""

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """Logs a histogram; of 64 bins, unless `bins` is a number or a sequence of edges."""
        array = array_of(values).ravel()
        if isinstance(bins, str):
            self._send("histogram", tag, array, global_step, walltime, bins=max_bins or 64)
        elif isinstance(bins, int):
            self._send("histogram", tag, array, global_step, walltime, bins=bins)
        else:
            import numpy as np

            counts, edges = np.histogram(array, bins=array_of(bins))
            self._binned(tag, edges, counts, global_step, walltime)

    def add_histogram_raw(
        self,
        tag: str,
        min: float,
        max: float,
        num: int,
        sum: float,
        sum_squares: float,
        bucket_limits: Sequence[float],
        bucket_counts: Sequence[int],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Logs bins that are counted: the first one begins at `min`, the last one ends at `max`."""
        limits = [float(limit) for limit in bucket_limits]
        edges = [builtins.min(float(min), limits[0]), *limits]
        if edges[-1] > 1e300:  # TensorBoard's last bin has no end
            edges[-1] = builtins.max(float(max), edges[-2])
        self._binned(tag, edges, bucket_counts, global_step, walltime)

    def _binned(
        self, tag: str, edges: Any, counts: Any, step: int | None, walltime: float | None
    ) -> None:
        bins = {
            "edges": [float(edge) for edge in edges],
            "counts": [int(count) for count in counts],
        }
        self._send("histogram", tag, None, step, walltime, **bins)

    def add_pr_curve(
        self,
        tag: str,
        labels: Any,
        predictions: Any,
        global_step: int | None = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Logs precision and recall for each threshold, as a table."""
        import numpy as np

        truth = array_of(labels).ravel().astype(bool)
        scores = array_of(predictions).ravel().astype(float)
        weight = np.ones(len(scores)) if weights is None else array_of(weights).ravel()
        thresholds = np.linspace(0.0, 1.0, num_thresholds)
        taken = scores[None, :] >= thresholds[:, None]
        tp, fp = (taken * truth * weight).sum(axis=1), (taken * ~truth * weight).sum(axis=1)
        fn = (truth * weight).sum() - tp
        tn = (~truth * weight).sum() - fp
        with np.errstate(invalid="ignore", divide="ignore"):
            precision, recall = tp / (tp + fp), tp / (tp + fn)
        columns = (thresholds, tp, fp, tn, fn, precision, recall)
        self._curve(tag, *columns, step=global_step, walltime=walltime)

    def add_pr_curve_raw(
        self,
        tag: str,
        true_positive_counts: Any,
        false_positive_counts: Any,
        true_negative_counts: Any,
        false_negative_counts: Any,
        precision: Any,
        recall: Any,
        global_step: int | None = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Logs a curve that is computed already, as a table."""
        count = len(array_of(precision))
        thresholds = [number / builtins.max(count - 1, 1) for number in range(count)]
        true = (true_positive_counts, false_positive_counts, true_negative_counts)
        columns = (thresholds, *true, false_negative_counts, precision, recall)
        self._curve(tag, *columns, step=global_step, walltime=walltime)

    def _curve(self, tag: str, *columns: Any, step: int | None, walltime: float | None) -> None:
        names = ("threshold", "tp", "fp", "tn", "fn", "precision", "recall")
        lists = [[float(value) for value in array_of(column)] for column in columns]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]
        self._send("table", tag, rows, step, walltime)
