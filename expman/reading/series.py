"""Curves of a run for the page: any metrics over any x, cut to a range and to few points.

Metrics are read one after another, so a run of any length takes the memory of a few columns. The
files are opened once: all curves of an answer show the same rows, which its cursor describes.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expman.errors import ConfigError
from expman.reading.cursor import Cursor
from expman.reading.decimate import choose
from expman.reading.row_source import RowSource
from expman.reading.streams import stream_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Series", "SeriesRequest", "make_series"]

AT_ONCE = 4
"""Metrics that are in memory at once."""
MANY_PRODUCERS = 8
FEWEST_POINTS = 100
_MICROSECONDS = 1e6


@dataclass(frozen=True)
class SeriesRequest:
    """Which curves are wanted.

    Attributes:
        metrics: their names.
        x: "step", "time" (seconds since the epoch), "relative" (seconds since the first row), or
            a metric.
        low, high: only between these, in units of x; None: no bound.
        points: about so many for each curve.
        by_producer: a curve for each producer; otherwise their rows are one curve.
        after: only rows after these.
    """

    metrics: Sequence[str]
    x: str = "step"
    low: float | None = None
    high: float | None = None
    points: int = 2000
    by_producer: bool = True
    after: Cursor | None = None


class _Piece(NamedTuple):
    """The points of a curve; x need not ascend where it is added."""

    metric: str
    producer: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]


@dataclass
class Series:
    """Curves, as one table of points.

    Attributes:
        cursor: the rows that the curves know of.
        rows: rows that were looked at.
        decimated: whether points were left out.
        nonfinite: values that are NaN or infinite.
    """

    cursor: Cursor
    rows: int = 0
    decimated: bool = False
    nonfinite: int = 0
    _pieces: list[tuple[str, str, NDArray[np.float64], NDArray[np.float64]]] = field(
        default_factory=list
    )

    def add(self, curve: _Piece, points: int) -> None:
        """Adds a curve of about so many points; points whose x is NaN are left out."""
        metric, producer, x, y = curve
        known = np.isfinite(x)
        if not known.all():
            x, y = x[known], y[known]
        if len(x) > 1 and np.any(x[1:] < x[:-1]):
            order = np.argsort(x, kind="stable")
            x, y = x[order], y[order]
        chosen = choose(x, y, points)
        self.nonfinite += chosen.nonfinite
        if len(chosen.places) < len(x):
            self.decimated = True
            x, y = x[chosen.places], y[chosen.places]
        if len(x):
            self._pieces.append(_Piece(metric, producer, x, y))

    def table(self) -> pa.Table:
        """The columns `metric`, `producer` (dictionaries), `x` and `y` (float64)."""
        sizes = [len(x) for _, _, x, _ in self._pieces]
        empty: NDArray[np.float64] = np.empty(0)
        return pa.table(
            {
                "metric": _labels([piece[0] for piece in self._pieces], sizes),
                "producer": _labels([piece[1] for piece in self._pieces], sizes),
                "x": np.concatenate([empty, *(x for _, _, x, _ in self._pieces)]),
                "y": np.concatenate([empty, *(y for _, _, _, y in self._pieces)]),
            }
        )

    def stream(self) -> bytes:
        """The table as an Arrow IPC stream of one batch."""
        return stream_of(self.table())


def _labels(names: Sequence[str], sizes: Sequence[int]) -> pa.DictionaryArray:
    distinct = list(dict.fromkeys(names))
    places = {name: number for number, name in enumerate(distinct)}
    numbers = np.repeat(np.array([places[name] for name in names], np.int32), sizes)
    return pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), pa.array(distinct))


def make_series(source: RowSource, request: SeriesRequest) -> Series:
    """Makes curves of rows.

    Raises:
        ConfigError: x is not a metric of numbers.
        StorageError: a file cannot be read.
    """
    columns = [(metric, source.number_column(metric)) for metric in request.metrics]
    wanted = [(metric, column) for metric, column in columns if column is not None]
    series = Series(source.cursor)
    source.narrow(_span(request), request.after)
    base = _Base(source, request)
    series.rows = base.rows
    curves = base.curves(request.by_producer)
    points = request.points
    if len(curves) > MANY_PRODUCERS:
        points = max(FEWEST_POINTS, points * MANY_PRODUCERS // len(curves))
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        table = source.read([column for _, column in some])
        for metric, column in some:
            y = _floats(table[column])
            known = _known(table[column])
            for producer, rows in curves:
                there = rows if known is None else rows[known[rows]]
                series.add(_Piece(metric, producer, base.x[there], y[there]), points)
    return series


def _span(request: SeriesRequest) -> tuple[str, object, object] | None:
    """Returns the column and the bounds by which row groups can be left out."""
    if request.low is None and request.high is None:
        return None
    if request.x == "step":
        return "step", request.low, request.high
    if request.x == "time":
        return "timestamp", _moment(request.low), _moment(request.high)
    return None


def _moment(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC)


class _Base:
    """What all curves have in common: which rows, their x, and their producers."""

    def __init__(self, source: RowSource, request: SeriesRequest) -> None:
        names = ["_producer", *(["_seq"] if source.has("_seq") else [])]
        column = {"step": "step", "time": "timestamp", "relative": "timestamp"}.get(request.x)
        if column is None:
            column = source.number_column(request.x)
            if column is None and request.after is None:
                raise ConfigError("x", request.x, "must be step, time, relative or a metric")
        table = source.read([name for name in (*names, column) if name and source.has(name)])
        self.rows = table.num_rows
        self._codes, self._producers = _coded(table)
        self.x = _floats(table[column]) if column in table.column_names else _nothing(self.rows)
        if request.x == "relative":
            self.x = self.x - source.first_second()
        elif request.x == "step":
            self._number_stepless(table)
        self._rows = np.arange(self.rows)
        if request.after is not None:
            self._rows = np.flatnonzero(source.is_after(table, request.after))
        if request.low is not None or request.high is not None:
            self._rows = self._rows[self._is_between(request.low, request.high)]

    def _number_stepless(self, table: pa.Table) -> None:
        """Counts the rows of a producer that gives no steps."""
        without = np.isnan(self.x)
        if not without.any():
            return
        numbers = _floats(table["_seq"]) if "_seq" in table.column_names else np.arange(self.rows)
        for code in range(len(self._producers)):
            own = self._codes == code
            if without[own].all():
                self.x = np.where(own, numbers, self.x)

    def _is_between(self, low: float | None, high: float | None) -> NDArray[np.bool_]:
        """Marks the rows in a range, and one on each side, to which the line goes."""
        x = self.x[self._rows]
        least, most = -np.inf if low is None else low, np.inf if high is None else high
        inside = (x >= least) & (x <= most)
        marked = inside.copy()
        marked[:-1] |= inside[1:]
        marked[1:] |= inside[:-1]
        return marked

    def curves(self, by_producer: bool) -> list[tuple[str, NDArray[np.int64]]]:
        """Returns the rows of each curve, with its producer."""
        if not by_producer or len(self._producers) == 1:
            name = self._producers[0] if len(self._producers) == 1 else ""
            return [(name, self._rows)]
        codes = self._codes[self._rows]
        return [
            (producer, self._rows[codes == code]) for code, producer in enumerate(self._producers)
        ]


def _coded(table: pa.Table) -> tuple[NDArray[np.int32], list[str]]:
    if "_producer" not in table.column_names:
        return np.zeros(table.num_rows, np.int32), ["main"]
    encoded = pc.dictionary_encode(table["_producer"].combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    names = [str(name) for name in encoded.dictionary.to_pylist()]
    return encoded.indices.to_numpy(zero_copy_only=False), names


def _nothing(rows: int) -> NDArray[np.float64]:
    return np.full(rows, np.nan)


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Returns numbers as float64, times as seconds; NaN for null."""
    if pa.types.is_timestamp(column.type):
        micros = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        return _floats(micros) / _MICROSECONDS
    if column.type != pa.float64():
        column = column.cast(pa.float64(), safe=False)
    found: NDArray[np.float64] = column.to_numpy()
    return found


def _known(column: pa.ChunkedArray) -> NDArray[np.bool_] | None:
    """Marks the rows that have a value; None: all have."""
    if not column.null_count:
        return None
    found: NDArray[np.bool_] = pc.is_valid(column).to_numpy()
    return found
