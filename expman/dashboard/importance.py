"""How much of the differences in a metric each parameter explains, by a forest of scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

__all__ = ["importance_of"]

FEWEST_RUNS = 5
MOST_PARAMS = 200
TREES = 100


def importance_of(
    params: Sequence[Mapping[str, object]], values: Sequence[float | None]
) -> tuple[dict[str, float], str | None]:
    """Returns the share of each parameter that differs, greatest first, or why there is none.

    Args:
        params: the parameters of each run.
        values: the number of each run; runs without a finite one do not count.
    """
    pairs = [
        (one, value)
        for one, value in zip(params, values, strict=True)
        if value is not None and math.isfinite(value)
    ]
    if len(pairs) < FEWEST_RUNS:
        return {}, f"{FEWEST_RUNS} runs with a number of the metric are needed"
    try:
        from sklearn.ensemble import RandomForestRegressor
    except ModuleNotFoundError:
        return {}, "scikit-learn is not installed; run: pip install scikit-learn"
    columns: dict[str, list[float]] = {}
    for key in dict.fromkeys(key for one, _ in pairs for key in one):
        column = _numbers([one.get(key) for one, _ in pairs])
        if len(set(column)) > 1 and len(columns) < MOST_PARAMS:
            columns[key] = column
    if not columns:
        return {}, "no parameter differs"
    forest = RandomForestRegressor(TREES, random_state=0, min_samples_leaf=2)
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    forest.fit(rows, [value for _, value in pairs])
    shares = dict(zip(columns, map(float, forest.feature_importances_), strict=True))
    return dict(sorted(shares.items(), key=lambda item: -item[1])), None


def _numbers(values: Sequence[object]) -> list[float]:
    """Returns numbers as they are if all are finite numbers; otherwise the number of each text."""
    if all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        return [float(value) for value in values]  # type: ignore[arg-type]
    places = {text: float(n) for n, text in enumerate(dict.fromkeys(map(repr, values)))}
    return [places[repr(value)] for value in values]
