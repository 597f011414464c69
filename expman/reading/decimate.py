"""Choice of the points of a curve that its picture needs: no spike and no NaN is left out.

The x axis is cut into buckets of equal width. Of each bucket the first, the least, the greatest
and the last value stay, and of each stretch of values that are not finite both ends. A line drawn
through them covers the same pixels as a line through all (the M4 aggregation of Jugel et al.,
VLDB 2014).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Chosen", "choose"]

PER_BUCKET = 4
COARSE = 32
"""With more rows per point than that, blocks of equally many rows are thinned first."""


class Chosen(NamedTuple):
    """The points that stay.

    Attributes:
        places: their places, ascending.
        nonfinite: how many of all values are NaN or infinite.
    """

    places: NDArray[np.int64]
    nonfinite: int


def choose(x: NDArray[np.float64], y: NDArray[np.float64], points: int) -> Chosen:
    """Chooses about so many points of a curve; all if there are no more.

    Args:
        x: ascending, finite, shape (n,).
        y: the values, shape (n,).
        points: how many are wanted; besides them, at most as many that are not finite.
    """
    finite = np.isfinite(y)
    nonfinite = len(y) - int(np.count_nonzero(finite))
    if len(y) <= points:
        return Chosen(np.arange(len(y)), nonfinite)
    buckets = max(1, points // PER_BUCKET)
    low = y if not nonfinite else np.where(finite, y, np.inf)
    high = y if not nonfinite else np.where(finite, y, -np.inf)
    if len(y) > COARSE * points:
        rough = _of_blocks(low, high, len(y) // (2 * buckets * PER_BUCKET))
        places = rough[_of_buckets(x[rough], low[rough], high[rough], buckets)]
    else:
        places = _of_buckets(x, low, high, buckets)
    if nonfinite:
        places = np.union1d(places, _ends_of_stretches(finite, points))
    return Chosen(places, nonfinite)


def _of_blocks(low: NDArray[np.float64], high: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Returns first, least, greatest and last of blocks of `size` rows, and all of the rest."""
    count = len(low) // size
    starts = np.arange(count) * size
    whole = count * size
    least = starts + low[:whole].reshape(count, size).argmin(axis=1)
    most = starts + high[:whole].reshape(count, size).argmax(axis=1)
    rest = np.arange(whole, len(low))
    return np.unique(np.concatenate([starts, least, most, starts + size - 1, rest]))


def _of_buckets(
    x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], buckets: int
) -> NDArray[np.int64]:
    bounds = np.linspace(x[0], x[-1], buckets + 1)[1:-1]
    starts = np.unique(np.concatenate([[0], np.searchsorted(x, bounds)]))
    starts = starts[starts < len(x)]
    ends = np.append(starts[1:], len(x))
    bucket = np.repeat(np.arange(len(starts)), ends - starts)
    least = _first_in_bucket(low == np.minimum.reduceat(low, starts)[bucket], bucket)
    most = _first_in_bucket(high == np.maximum.reduceat(high, starts)[bucket], bucket)
    return np.unique(np.concatenate([starts, least, most, ends - 1]))


def _first_in_bucket(matches: NDArray[np.bool_], bucket: NDArray[np.int64]) -> NDArray[np.int64]:
    places = np.flatnonzero(matches)
    _, first = np.unique(bucket[places], return_index=True)
    return places[first]


def _ends_of_stretches(finite: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """Returns both ends of each stretch that is not finite; evenly chosen ones if too many."""
    edges = np.diff(np.concatenate([[0], (~finite).astype(np.int8), [0]]))
    ends = np.union1d(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1)
    if len(ends) > most:
        ends = ends[np.unique(np.linspace(0, len(ends) - 1, most).astype(np.int64))]
    return ends
