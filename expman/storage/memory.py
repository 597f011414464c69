"""Keeps the writer process small: no numpy, no pandas, and memory that is given back.

pyarrow imports both where they are installed, and needs neither (numpy since version 18). numpy
takes half of the processor time of a writer's start, and 12 MB; pandas 0.3-0.5 s and some 60 MB.
A later import, for a kind of content that needs one of them, finds it.

A rewrite of vectors.parquet needs some 30 MB for a moment, in a thread of its own. pyarrow's
own allocator and glibc's arena of that thread both keep what was freed: together they made the
writer grow to twice its size. One arena for all threads, and Arrow's buffers from it, stay at
1.4 times (docs/performance.md). What the environment says of these settings comes first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["limit_memory"]

_POOL = "ARROW_DEFAULT_MEMORY_POOL"
# glibc's malloc.h. A fixed size from which on memory is mapped, and unmapped when freed, keeps
# the heap from growing by what lies between column buffers.
_MALLOC = (("ARENA_MAX", -8, 1), ("MMAP_THRESHOLD_", -3, 1 << 19), ("TRIM_THRESHOLD_", -1, 1 << 22))


class _Without(MetaPathFinder):
    """Finds none of the packages that pyarrow would take up."""

    _PACKAGES = ("numpy", "pandas")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self._PACKAGES:
            raise ModuleNotFoundError(f"pyarrow of expman-writer has no {fullname}", name=fullname)
        return None


def limit_memory() -> None:
    """To be called once, before any thread is started.

    For the writer process only: pyarrow's `to_numpy()` and `to_pandas()` do not work in this
    process afterwards.
    """
    _tune_malloc()
    # pyarrow looks for its pool, numpy and pandas once, and remembers what it found.
    chosen = os.environ.get(_POOL)
    os.environ[_POOL] = chosen or "system"
    finder = _Without()
    sys.meta_path.insert(0, finder)
    try:
        import pyarrow as pa
        import pyarrow.compute  # these two ask for numpy again
        import pyarrow.parquet

        pa.array([0])
    finally:
        sys.meta_path.remove(finder)
        if chosen is None:
            del os.environ[_POOL]


def _tune_malloc() -> None:
    try:
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
    except (ImportError, OSError, AttributeError):
        return  # a Python without ctypes, or a C library without mallopt
    for name, number, value in _MALLOC:
        if f"MALLOC_{name}" not in os.environ:
            mallopt(number, value)
