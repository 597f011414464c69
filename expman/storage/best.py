"""The least, the greatest, the last and the first non-finite number of each metric, with steps.

They follow from the rows in the files, batch by batch: what one batch costs does not depend on
how many rows there are. The footer of vectors.parquet has them as of its last row, so that a
writer that opens the run again goes on from there with the rows of the tail.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import pyarrow as pa

from expman.metadata import MetricBest
from expman.models import Number

if TYPE_CHECKING:  # a run of few rows ends without it
    import pyarrow.compute as pc

__all__ = ["BestValues", "last_valid"]

MAX_METRICS = 2000
"""Of more metrics the first ones are kept: run.yaml is read whole, and an entry is a mapping."""
MAX_NAMES = 512 * 1024
"""Characters of their names."""
SHORT_ROWS = 64
MAX_HELD_CELLS = 256 * 1024
MAX_HELD_ROWS = 400
"""Wide rows may have more cells: a look at a metric costs as much as some hundred values of it."""
MAX_HELD_BATCHES = 256
_TEXT, _INT64, _FLOAT64 = pa.string(), pa.int64(), pa.float64()
_INFINITY = 0x7FF << 52
_NEGATIVE_INFINITY = -1 << 52
"""The bits of the infinities, as signed integers."""
_LARGEST = sys.float_info.max
_pack_bits, _unpack_float = struct.Struct("<q").pack, struct.Struct("<d").unpack


_Number: TypeAlias = Number | None
_Footer: TypeAlias = tuple[bool, dict[str, list[_Number]]]


_Column: TypeAlias = list[tuple[pa.Array, pa.Array]]
"""Pieces of one metric: steps and values, of one type."""
_Values: TypeAlias = pa.Array | pa.ChunkedArray


class BestValues:
    """The best values of one run's metrics, as far as its rows are in the files.

    NaN is never the least or the greatest, but may be the last. Of equal values the first counts.
    Text is left out.

    Batches are kept until the values are asked for, or until they have many cells. A call of Arrow
    for each column of each small batch would cost as much as the rest of a commit.

    Attributes:
        is_full: metrics that are not there are never added.
    """

    def __init__(self) -> None:
        self.is_full = False
        self._metrics: dict[str, MetricBest] = {}
        self._room = MAX_NAMES
        self._held: list[tuple[pa.Array, list[tuple[str, pa.Array]]]] = []
        self._held_cells = 0

    def add(self, steps: pa.Array, columns: Iterable[tuple[str, pa.Array]]) -> None:
        """Adds the rows of one batch.

        Args:
            steps: the user's step of each row.
            columns: metric and values, of any type.
        """
        numbers = [
            (metric, array)
            for metric, array in columns
            if array.type != _TEXT and (not self.is_full or metric in self._metrics)
        ]
        self._held.append((steps, numbers))
        self._held_cells += len(steps) * (1 + len(numbers))
        limit = max(MAX_HELD_CELLS, MAX_HELD_ROWS * min(len(numbers), MAX_METRICS))
        if self._held_cells > limit or len(self._held) > MAX_HELD_BATCHES:
            self._settle()

    @property
    def metrics(self) -> dict[str, MetricBest]:
        """By metric, in order of first appearance."""
        self._settle()
        return self._metrics

    def _settle(self) -> None:
        """Takes the batches into account that are kept."""
        columns: dict[tuple[str, pa.DataType], _Column] = {}
        for steps, numbers in self._held:
            for metric, array in numbers:
                if array.null_count < len(array):
                    columns.setdefault((metric, array.type), []).append((steps, array))
        for (metric, _), column in columns.items():
            known = self._metrics.get(metric)
            if known is not None or self._has_room(metric):
                self._metrics[metric] = _joined(known or MetricBest(), column)
        self._held, self._held_cells = [], 0  # at the end: a batch may be taken twice, not never

    def _has_room(self, metric: str) -> bool:
        self._room -= len(metric)
        self.is_full = self.is_full or self._room < 0 or len(self._metrics) >= MAX_METRICS
        return not self.is_full

    def encode(self) -> str:
        """Returns the values as the footer of vectors.parquet has them."""
        entries = {name: msgspec.structs.astuple(best) for name, best in self.metrics.items()}
        return json.dumps([self.is_full, entries])  # unlike msgspec's, it has NaN

    def copy(self) -> BestValues:
        """Returns the values as they are now."""
        other = BestValues()
        other._metrics, other.is_full, other._room = dict(self.metrics), self.is_full, self._room
        return other

    @classmethod
    def decode(cls, text: bytes) -> BestValues | None:
        """Reads what `encode` returned; None if the text is something else."""
        try:
            is_full, metrics = msgspec.convert(json.loads(text), _Footer)
            found = {name: _of_footer(values) for name, values in metrics.items()}
        except ValueError:  # msgspec's errors are ValueErrors
            return None
        best = cls()
        best.is_full, best._metrics = is_full, found
        best._room -= sum(map(len, metrics))
        return best


def _of_footer(values: list[_Number]) -> MetricBest:
    """What the footer has of one metric; that of an earlier version has no `nonfinite`."""
    pairs = len(MetricBest.__struct_fields__) // 2
    padded = [*values, *[None] * 2] if len(values) == 2 * (pairs - 1) else values
    return msgspec.convert(dict(zip(MetricBest.__struct_fields__, padded, strict=True)), MetricBest)


def last_valid(array: pa.Array) -> int:
    """The last row that has a value; the array has one at least."""
    low, high = 0, len(array)  # the row is in array[low:high]
    if not array.null_count or array[high - 1].is_valid:
        return high - 1
    while high - low > 1:
        middle = (low + high) // 2
        upper = array.slice(middle, high - middle)
        if upper.null_count < len(upper):
            low = middle
        else:
            high = middle
    return low


def _joined(known: MetricBest, column: _Column) -> MetricBest:
    """The best of what was known and of further rows. Steps are looked up only where it changes."""
    values = _whole([piece for _, piece in column])
    low, high, is_finite = _ends(values)
    least, least_step = known.min, known.min_step
    if low is not None and (least is None or low < least):
        least, least_step = low, _step_of(low, column, values)
    greatest, greatest_step = known.max, known.max_step
    if high is not None and (greatest is None or high > greatest):
        greatest, greatest_step = high, _step_of(high, column, values)
    last_steps, last_values = column[-1]
    last = last_valid(last_values)
    odd, odd_step = known.nonfinite, known.nonfinite_step
    if odd is None and not is_finite:
        odd, odd_step = _first_nonfinite(column, values)
    return MetricBest(
        *(least, least_step, greatest, greatest_step),
        *(last_values[last].as_py(), last_steps[last].as_py()),
        *(odd, odd_step),
    )


def _whole(pieces: list[pa.Array]) -> _Values:
    return pieces[0] if len(pieces) == 1 else pa.chunked_array(pieces)


def _step_at(row: int, column: _Column) -> int | None:
    step: int | None = _whole([steps for steps, _ in column])[row].as_py()
    return step


def _first_nonfinite(column: _Column, values: _Values) -> tuple[Number | None, int | None]:
    """The first value that is NaN or infinite, and its step."""
    from expman.storage.computing import IndexOptions, call_function

    finite = call_function("is_finite", [values])
    row = call_function("index", [finite], IndexOptions(pa.scalar(False))).as_py()
    return (None, None) if row < 0 else (values[row].as_py(), _step_at(row, column))


def _step_of(value: Number, column: _Column, values: _Values) -> int | None:
    if len(values) <= SHORT_ROWS:
        return _step_at(values.to_pylist().index(value), column)
    from expman.storage.computing import IndexOptions, call_function

    wanted = IndexOptions(pa.scalar(value, values.type))
    return _step_at(call_function("index", [values], wanted).as_py(), column)


def _ends(array: _Values) -> tuple[Number | None, Number | None, bool]:
    """The least and the greatest value that is not NaN; None if there is none.

    The last item is False if some values may be NaN or infinite.
    """
    if len(array) <= SHORT_ROWS:  # a call of Arrow costs as much as 100 values
        found = [value for value in array.to_pylist() if value is not None]
        values = [value for value in found if value == value]
        if not values:
            return None, None, False
        low, high = min(values), max(values)
        is_finite = len(values) == len(found) and low >= -_LARGEST and high <= _LARGEST
        return low, high, is_finite
    if array.type == _FLOAT64:
        ends = _ends_by_bits(array)
        if ends is not None:
            return *ends, ends[0] >= -_LARGEST and ends[1] <= _LARGEST
    both = _min_max().call([array]).as_py()
    low, high = both["min"], both["max"]
    if low != low:
        return None, None, False
    # A sum is finite only if all values are; one that is too large costs a closer look.
    is_float = array.type == _FLOAT64
    return low, high, not is_float or math.isfinite(_sum(array))


def _sum(array: _Values) -> float:
    from expman.storage.computing import call_function

    total: float = call_function("sum", [array]).as_py()
    return total


def _ends_by_bits(array: _Values) -> tuple[float, float] | None:
    """The ends of an array of one sign and without NaN, at a tenth of the cost; else None.

    Arrow finds the ends of integers with SIMD, those of floats one by one. Non-negative floats
    sort as their bits do, negative ones the other way round, and NaN is beyond the infinity of
    its sign (IEEE 754, binary64).
    """
    pieces = [array] if isinstance(array, pa.Array) else array.chunks
    bits = _whole([piece.view(_INT64) for piece in pieces])
    low, high = _ends_of_integers(bits)
    if low >= 0 and high <= _INFINITY:
        return _float_of(low), _float_of(high)
    if high <= _NEGATIVE_INFINITY:
        return _float_of(high), _float_of(low)
    return None


def _ends_of_integers(array: _Values) -> tuple[int, int]:
    low, high = _min_max().call([array]).values()
    return low.as_py(), high.as_py()


@cache
def _min_max() -> pc.Function:
    from expman.storage.computing import get_function

    return get_function("min_max")


def _float_of(bits: int) -> float:
    value: float = _unpack_float(_pack_bits(bits))[0]
    return value
