"""Arrow's arrays as numpy's, and back, without pandas.

pyarrow's own conversions import pandas, if it is installed, to find out that nothing is a Series.
That takes longer than a picture of a million rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["arrow_array", "bools", "floats", "ints"]


def arrow_array(values: NDArray[np.float64] | NDArray[np.int32] | NDArray[np.int64]) -> pa.Array:
    """Returns an array of Arrow, float64, int32 or int64, without a copy."""
    kinds = {"float64": pa.float64(), "int32": pa.int32(), "int64": pa.int64()}
    return pa.Array.from_buffers(
        kinds[values.dtype.name], len(values), [None, pa.py_buffer(values)]
    )


def floats(column: pa.ChunkedArray | pa.Array) -> NDArray[np.float64]:
    """Returns numbers of any kind as float64; NaN for null."""
    if column.type != pa.float64():
        column = pc.cast(column, pa.float64(), safe=False)
    if column.null_count:
        column = pc.fill_null(column, float("nan"))
    pieces = [_values(chunk, np.float64) for chunk in _chunks(column)]
    return pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0), *pieces])


def ints(array: pa.Array) -> NDArray[np.int32]:
    """Returns an int32 array without nulls."""
    return _values(array, np.int32)


def bools(column: pa.ChunkedArray | pa.Array) -> NDArray[np.bool_]:
    """Returns booleans without nulls."""
    pieces = [_values(chunk.cast(pa.uint8()), np.uint8) for chunk in _chunks(column)]
    whole = pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, np.uint8), *pieces])
    found: NDArray[np.bool_] = whole.view(np.bool_)
    return found


def _chunks(column: pa.ChunkedArray | pa.Array) -> list[pa.Array]:
    found: list[pa.Array] = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return found


def _values(array: pa.Array, kind: type) -> NDArray[np.generic]:
    """Returns the values of an array without nulls, where they lie."""
    buffer = array.buffers()[1]
    if buffer is None or not len(array):
        return np.empty(0, kind)
    return np.frombuffer(buffer, kind, len(array), array.offset * np.dtype(kind).itemsize)
