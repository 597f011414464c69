"""Small pictures of metrics: few points, as text or as SVG."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from expman.reading.run import Run

__all__ = ["Curve", "curves", "spark", "svg", "thin"]

MAX_ROWS = 200_000
"""A small picture of a very long run shows its newest rows: it must not take seconds."""
_BARS = "▁▂▃▄▅▆▇█"


class Curve(NamedTuple):
    """A metric over its steps; over the rows where they carry no step."""

    x: list[float]
    y: list[float]


def curves(
    run: Run,
    metrics: Sequence[str] | None = None,
    *,
    points: int = 60,
    last: int | None = MAX_ROWS,
) -> dict[str, Curve]:
    """The numeric metrics of a run with so many points at most; those without numbers are left out.

    Raises:
        ConfigError: the run has no such metric.
        StorageError: a file cannot be read.
    """
    columns = None if metrics is None else ["step", *metrics]
    table = run.vectors(columns, last=last)
    found = {}
    for name in table.column_names:
        column = table[name]
        if name in ("step", "timestamp") or not _is_number(column.type):
            continue
        curve = thin(table["step"], column, points)
        if curve.x:
            found[name] = curve
    return found


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    )


def thin(step: pa.ChunkedArray, column: pa.ChunkedArray, points: int) -> Curve:
    """Means of equally many neighbours; rows without a number are left out."""
    values = column.cast(pa.float64(), safe=False)
    steps = step.cast(pa.float64())
    if steps.null_count:
        steps = pa.chunked_array([pa.array(range(len(values)), pa.float64())])
    keep = pc.fill_null(pc.is_finite(values), False)
    y = values.filter(keep).to_pylist()
    x = steps.filter(keep).to_pylist()
    if len(y) <= points:
        return Curve(x, y)
    edges = [round(number * len(y) / points) for number in range(points + 1)]
    spans = list(itertools.pairwise(edges))
    return Curve(
        [x[low] for low, _ in spans],
        [math.fsum(y[low:high]) / (high - low) for low, high in spans],
    )


def spark(values: Sequence[float], width: int = 20) -> str:
    """A line of block characters, as high as the values."""
    if not values:
        return ""
    if len(values) > width:
        edges = [round(number * len(values) / width) for number in range(width + 1)]
        values = [
            math.fsum(values[low:high]) / (high - low) for low, high in itertools.pairwise(edges)
        ]
    low, high = min(values), max(values)
    span = high - low
    return "".join(_BARS[int((v - low) / span * 7.999) if span else 0] for v in values)


def svg(curve: Curve, width: int = 160, height: int = 32) -> str:
    """A small line as an SVG element."""
    x_low, x_span = min(curve.x), (max(curve.x) - min(curve.x)) or 1.0
    y_low, y_span = min(curve.y), (max(curve.y) - min(curve.y)) or 1.0
    dots = " ".join(
        f"{(x - x_low) / x_span * (width - 4) + 2:.1f},"
        f"{height - 2 - (y - y_low) / y_span * (height - 4):.1f}"
        for x, y in sorted(zip(curve.x, curve.y, strict=True))
    )
    return (
        f'<svg width="{width}" height="{height}" role="img">'
        f'<polyline points="{dots}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )
