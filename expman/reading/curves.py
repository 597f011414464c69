"""Small curves of metrics: few points, drawn as text or SVG."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Curve", "scale_of", "spark", "svg", "thin"]

_HUGE = 1e150
_BARS = "▁▂▃▄▅▆▇█"


class Curve(NamedTuple):
    """A metric over its steps; over the rows where they carry no step.

    Attributes:
        x: the steps.
        y: the numbers.
        left_out: how many values were NaN or infinite, which no curve can show.
        odd: where these were, at most as many places as the curve has points.
        of: what it is of several processes: "median of 4 ranks"; "" if it is of one.
        ends: of several processes the least and the greatest of their last values.
    """

    x: list[float]
    y: list[float]
    left_out: int = 0
    odd: Sequence[float] = ()
    of: str = ""
    ends: tuple[float, float] | None = None

    def pieces(self) -> list[tuple[list[float], list[float]]]:
        """The curve in pieces: it has a gap where a value was NaN or infinite."""
        found: list[tuple[list[float], list[float]]] = []
        odd = sorted(self.odd)
        before = -1
        for x, y in zip(self.x, self.y, strict=True):
            number = bisect.bisect_left(odd, x)
            if number != before or not found:
                found.append(([], []))
                before = number
            found[-1][0].append(x)
            found[-1][1].append(y)
        return found

    def smoothed(self, weight: float) -> Curve:
        """An exponential moving average of the points, without a bias to the first one.

        Args:
            weight: of what came before, from 0, which changes nothing, to less than 1.
        """
        mean, total, values = 0.0, 0.0, []
        for y in self.y:
            mean = weight * mean + (1 - weight) * y
            total = weight * total + (1 - weight)
            values.append(mean / total)
        return self._replace(y=values)

    @property
    def remark(self) -> str:
        """A remark on what the curve does not show; empty if it shows all."""
        left_out = f"{self.left_out:,} NaN or infinite" if self.left_out else ""
        ends = "" if self.ends is None else "last values {:.4g} to {:.4g}".format(*self.ends)
        return ", ".join(filter(None, (self.of, ends, left_out)))


def thin(step: pa.ChunkedArray, column: pa.ChunkedArray, points: int) -> Curve:
    """Thins a curve to means of equally many neighbours; counts the values that it leaves out."""
    if column.null_count:  # other rows do not count: they may have no steps
        is_known = pc.is_valid(column)
        step, column = step.filter(is_known), column.filter(is_known)
    values = column.cast(pa.float64(), safe=False)
    steps = step.cast(pa.float64(), safe=False)  # a step may be a time in nanoseconds
    if steps.null_count:
        steps = pa.chunked_array([pa.array(range(len(values)), pa.float64())])
    keep = pc.fill_null(pc.is_finite(values), False)
    y = values.filter(keep).to_pylist()
    x = steps.filter(keep).to_pylist()
    left_out = len(values) - len(y)
    odd: list[float] = []
    if left_out:
        odd = steps.filter(pc.fill_null(pc.invert(pc.is_finite(values)), False)).to_pylist()
        odd = odd[:: -(-len(odd) // points)]
    if len(y) <= points:
        return Curve(x, y, left_out, odd)
    edges = [round(number * len(y) / points) for number in range(points + 1)]
    spans = list(itertools.pairwise(edges))
    return Curve(
        [x[low] for low, _ in spans],
        [_mean(y[low:high]) for low, high in spans],
        left_out,
        odd,
    )


def scale_of(curves: Iterable[Curve]) -> float:
    """Returns the divisor for huge values: chart libraries fail where a difference is infinite."""
    largest = max((abs(y) for curve in curves for y in curve.y), default=0.0)
    return 10.0 ** math.floor(math.log10(largest)) if largest > _HUGE else 1.0


def spark(values: Sequence[float], width: int = 20) -> str:
    """Draws a line of block characters, as high as the values."""
    if not values:
        return ""
    if len(values) > width:
        edges = [round(number * len(values) / width) for number in range(width + 1)]
        values = [_mean(values[low:high]) for low, high in itertools.pairwise(edges)]
    return "".join(_BARS[int(height * 7.999)] for height in _heights(values))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(value / len(values) for value in values)  # the sum itself may be too large


def _heights(values: Sequence[float]) -> list[float]:
    """The values from 0, the least one, to 1; all 0 if they are the same."""
    low, high = min(values) / 2, max(values) / 2  # halves: the difference may be too large
    return [(value / 2 - low) / (high - low) if high > low else 0.0 for value in values]


def svg(curve: Curve, width: int = 160, height: int = 32) -> str:
    """Draws a small line as an SVG element; empty if there is no number."""
    if not curve.x:
        return ""
    places = sorted(zip(_heights(curve.x), _heights(curve.y), strict=True))
    dots = " ".join(
        f"{x * (width - 4) + 2:.1f},{height - 2 - y * (height - 4):.1f}" for x, y in places
    )
    return (
        f'<svg width="{width}" height="{height}" role="img">'
        f'<polyline points="{dots}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )
