"""Arrow's functions by their names, for the writer.

`pyarrow.compute` makes a Python function of each of three hundred when it is imported, which takes
as long as writing 100,000 rows (40 ms, 2 MB). The module below it has the call that they all end
in. It takes 5 ms itself, so this module is imported by the function that needs it.
"""

from __future__ import annotations

from array import array
from functools import lru_cache

import pyarrow as pa

try:
    from pyarrow._compute import IndexOptions, call_function, get_function
except ImportError:  # a pyarrow that has it elsewhere
    from pyarrow.compute import IndexOptions, call_function, get_function

__all__ = ["IndexOptions", "call_function", "count_from", "get_function"]

_PIECE = 64 * 1024


def count_from(first: int, length: int) -> pa.Array:
    """The numbers first, first + 1, … as int64."""
    pieces = [
        call_function(
            "add",
            [
                _numbers(min(length - done, _PIECE).bit_length()).slice(0, length - done),
                pa.scalar(first + done, pa.int64()),
            ],
        )
        for done in range(0, length, _PIECE)
    ]
    return pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces)


@lru_cache(maxsize=1)
def _numbers(bits: int) -> pa.Array:
    """The numbers from 0 on that have so many bits, as int64."""
    count = min(1 << bits, _PIECE)
    return pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(array("q", range(count)))])
