"""Curves of a run for the page: any metrics over any x, cut to a range and to few points.

Metrics are read one after another, so a run of any length takes the memory of a few columns. The
files are opened once: all curves of an answer show the same rows, which its cursor describes.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expman.errors import ConfigError
from expman.reading.cursor import Cursor
from expman.reading.decimate import choose
from expman.reading.numpy_arrays import arrow_array, bools, floats, ints
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
        with_time: the table has a column `t`, too: seconds since the epoch.
    """

    metrics: Sequence[str]
    x: str = "step"
    low: float | None = None
    high: float | None = None
    points: int = 2000
    by_producer: bool = True
    after: Cursor | None = None
    with_time: bool = False


class _Piece(NamedTuple):
    """The points of a curve; x need not ascend where it is added."""

    metric: str
    producer: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    t: NDArray[np.float64] | None = None
    attempt: NDArray[np.int64] | None = None

    def at(self, places: Any) -> _Piece:
        """Some of its points."""
        t = None if self.t is None else self.t[places]
        attempt = None if self.attempt is None else self.attempt[places]
        return self._replace(x=self.x[places], y=self.y[places], t=t, attempt=attempt)


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
    _pieces: list[_Piece] = field(default_factory=list)

    def add(self, curve: _Piece, points: int) -> None:
        """Adds a curve of about so many points; points whose x is NaN are left out."""
        known = np.isfinite(curve.x)
        if not known.all():
            curve = curve.at(known)
        if len(curve.x) > 1 and np.any(curve.x[1:] < curve.x[:-1]):
            curve = curve.at(np.argsort(curve.x, kind="stable"))
        chosen = choose(curve.x, curve.y, points)
        self.nonfinite += chosen.nonfinite
        if len(chosen.places) < len(curve.x):
            self.decimated = True
            curve = curve.at(chosen.places)
        if len(curve.x):
            self._pieces.append(curve)

    def table(self) -> pa.Table:
        """The columns `metric`, `producer` (dictionaries), `x` and `y` (float64).

        Besides, `t` if it is wanted, and `attempt` (int64, from 1) in a run that went on.
        """
        sizes = [len(piece.x) for piece in self._pieces]
        empty: NDArray[np.float64] = np.empty(0)
        columns = {
            "metric": _labels([piece.metric for piece in self._pieces], sizes),
            "producer": _labels([piece.producer for piece in self._pieces], sizes),
            "x": arrow_array(np.concatenate([empty, *(piece.x for piece in self._pieces)])),
            "y": arrow_array(np.concatenate([empty, *(piece.y for piece in self._pieces)])),
        }
        times = [piece.t for piece in self._pieces if piece.t is not None]
        if times:
            columns["t"] = arrow_array(np.concatenate(times))
        attempts = [piece.attempt for piece in self._pieces if piece.attempt is not None]
        if attempts:
            columns["attempt"] = arrow_array(np.concatenate(attempts))
        return pa.table(columns)

    def stream(self, *, rounded: bool = False) -> bytes:
        """The table as an Arrow IPC stream of one batch.

        Args:
            rounded: numbers that are not whole have 24 bits, and times are in milliseconds: more
                than a picture shows, and half the size when it is compressed.
        """
        if rounded:
            self._pieces = [_rounded(piece) for piece in self._pieces]
        return stream_of(self.table())


def _rounded(piece: _Piece) -> _Piece:
    with np.errstate(over="ignore", under="ignore"):
        short = piece.y.astype(np.float32).astype(np.float64)
    # Beyond the range of float32, and where the number is whole, it stays as it is.
    keeps = (piece.y == np.round(piece.y)) | (np.isfinite(piece.y) != np.isfinite(short))
    tiny = np.abs(piece.y) < np.finfo(np.float32).tiny
    y = np.where(keeps | tiny, piece.y, short)
    return piece._replace(y=y, t=None if piece.t is None else np.round(piece.t, 3))


def _labels(names: Sequence[str], sizes: Sequence[int]) -> pa.DictionaryArray:
    distinct = list(dict.fromkeys(names))
    places = {name: number for number, name in enumerate(distinct)}
    numbers = np.repeat(np.array([places[name] for name in names], np.int32), sizes)
    texts = pa.array(distinct, pa.string())
    return pa.DictionaryArray.from_arrays(arrow_array(numbers), texts)


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
                there: NDArray[np.int64] | slice = rows if known is None else rows[known[rows]]
                if len(rows) == base.rows and known is None:
                    there = slice(None)  # a copy of all rows would cost as much as the choice
                t = None if base.t is None else base.t[there]
                attempt = None if base.attempt is None else base.attempt[there]
                piece = _Piece(metric, producer, base.x[there], y[there], t, attempt)
                series.add(piece, points)
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
        names = ["_producer", "_seq", "_attempt"]
        column = {"step": "step", "time": "timestamp", "relative": "timestamp"}.get(request.x)
        if column is None:
            column = source.number_column(request.x)
            if column is None and request.after is None:
                raise ConfigError("x", request.x, "must be step, time, relative or a metric")
        if request.with_time:
            names.append("timestamp")
        table = source.read([name for name in (*names, column) if name and source.has(name)])
        self.t = _floats(table["timestamp"]) if request.with_time else None
        self.attempt = (
            floats(table["_attempt"]).astype(np.int64) if source.has("_attempt") else None
        )
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
    return ints(encoded.indices), names


def _nothing(rows: int) -> NDArray[np.float64]:
    return np.full(rows, np.nan)


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Returns numbers as float64, times as seconds; NaN for null."""
    if pa.types.is_timestamp(column.type):
        micros = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        return _floats(micros) / _MICROSECONDS
    return floats(column)


def _known(column: pa.ChunkedArray) -> NDArray[np.bool_] | None:
    """Marks the rows that have a value; None: all have."""
    if not column.null_count:
        return None
    return bools(pc.is_valid(column))
