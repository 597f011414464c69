"""Arrow arrays of plain Python values. `pa.array` would import pandas, where that is installed.

That takes longer than a table of 10,000 runs. The layout is that of the Arrow format: a bitmap of
the values that are there, then the values; of text its offsets before.
"""

from __future__ import annotations

import array
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from expman.models import safe_text

__all__ = ["float_array", "int_array", "text_array"]

_MOST_BYTES = (1 << 31) - 1


def float_array(values: Sequence[float | int | None]) -> pa.Array:
    """Returns numbers as float64.

    Raises:
        OverflowError: an integer is greater than all floats.
    """
    numbers = array.array("d", [0.0 if value is None else value for value in values])
    return _array(pa.float64(), values, [numbers])


def int_array(values: Sequence[int | None]) -> pa.Array:
    """Returns integers as int64.

    Raises:
        OverflowError: one does not fit.
    """
    numbers = array.array("q", [0 if value is None else value for value in values])
    return _array(pa.int64(), values, [numbers])


def text_array(values: Sequence[str | None]) -> pa.Array:
    """Returns texts; what is not UTF-8 in them has escapes."""
    pieces = [b"" if value is None else _utf8(value) for value in values]
    if sum(map(len, pieces)) > _MOST_BYTES:
        return pa.array(values, pa.string())
    offsets = array.array("i", itertools.accumulate(map(len, pieces), initial=0))
    return _array(pa.string(), values, [offsets, b"".join(pieces)])


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return safe_text(text).encode()


def _array(
    kind: pa.DataType, values: Sequence[object], buffers: Iterable[array.array[Any] | bytes]
) -> pa.Array:
    bitmap = None
    if None in values:
        bits = bytearray((len(values) + 7) // 8)
        for place, value in enumerate(values):
            if value is not None:
                bits[place >> 3] |= 1 << (place & 7)
        bitmap = pa.py_buffer(bits)
    return pa.Array.from_buffers(kind, len(values), [bitmap, *map(pa.py_buffer, buffers)])
