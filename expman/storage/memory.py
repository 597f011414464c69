"""Keeps the writer process small: only packages that it uses, and memory that is given back.

pyarrow imports numpy, where it is installed, with itself (0.1 s, 12 MB), and pandas at the first
`pa.array(...)` (0.3-0.5 s, 60 MB). From version 18 on it works without either. `pyarrow.parquet`
brings clients of object stores, which are optional parts of pyarrow (4 MB), and asks `ssl` where
the certificates for those are (5 MB). It imports `inspect` and `socket` for functions that are
never called here (12 ms, a tenth of the writer's start): these are imported once they are used.

A rewrite of vectors.parquet needs some 30 MB for a moment, in a thread of its own. pyarrow's
own allocator and glibc's arena of that thread both keep what was freed: together they made the
writer grow to twice its size. One arena for all threads, and Arrow's buffers from it, stay at
1.4 times (docs/performance.md). What the environment says of these settings comes first.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

__all__ = ["do_without", "limit_memory", "release_unused"]

_POOL = "ARROW_DEFAULT_MEMORY_POOL"
# glibc's malloc.h. A fixed size from which on memory is mapped, and unmapped when freed, keeps
# the heap from growing by what lies between column buffers. Half of it would have each column of a
# full row group mapped anew: a fifth of the time that rows take went into page faults.
_MALLOC = (("ARENA_MAX", -8, 1), ("MMAP_THRESHOLD_", -3, 1 << 20), ("TRIM_THRESHOLD_", -1, 1 << 22))


_SSL = "ssl"
_LATER = ("inspect", "socket")
_REFUSED = frozenset({"cloudpickle", "dateutil", "numpy", "pandas"})
_STORES = frozenset({"pyarrow._azurefs", "pyarrow._gcsfs", "pyarrow._hdfs", "pyarrow._s3fs"})


class _Refusal:
    """Refuses packages as if they were not installed: a finder for `sys.meta_path`.

    Not a subclass of `importlib.abc.MetaPathFinder`, whose module imports thirty others.
    """

    def __init__(self, names: Collection[str], process: str) -> None:
        self._names = frozenset(names)
        self._process = process

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self._names:
            raise ModuleNotFoundError(f"{fullname} is not used by {self._process}", name=fullname)
        return None


def do_without(names: Collection[str], process: str) -> None:
    """Refuses packages in this process from now on, unless they are imported already.

    Args:
        names: the packages.
        process: what this process is called in the error.
    """
    sys.meta_path.insert(0, _Refusal(names, process))


def release_unused() -> None:
    """Gives back what Arrow has kept of freed memory: some hundred MB after large tables."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()


def limit_memory(*, stores: bool = False) -> None:
    """To be called once, before any thread is started.

    Args:
        stores: the process uses object stores.

    For the writer process only: what is refused cannot be imported in this process afterwards.
    The refusal stays, for a numpy that came later would meet a pyarrow that was begun without it.
    """
    _tune_malloc()
    # pyarrow looks for its pool once, and remembers what it found.
    chosen = os.environ.get(_POOL)
    os.environ[_POOL] = chosen or "system"
    do_without(_REFUSED if stores else _REFUSED | _STORES, "expman-writer")
    with _later(_LATER):
        try:
            import pyarrow  # noqa: F401
        finally:
            if chosen is None:
                del os.environ[_POOL]
        if not stores:
            _import_parquet()


def _import_parquet() -> None:
    """Imports pyarrow.parquet; `pyarrow.fs`, which it imports, does without OpenSSL."""
    known = sys.modules.get(_SSL)
    if known is None:
        sys.modules[_SSL] = _NoCertificates(_SSL)
    try:
        import pyarrow.fs
    except Exception:  # noqa: BLE001 - a pyarrow that wants more of it gets it
        for name in ("pyarrow.fs", "pyarrow._fs"):
            sys.modules.pop(name, None)
    finally:
        if known is None:
            sys.modules.pop(_SSL, None)
    import pyarrow.parquet  # noqa: F401


class _Later(ModuleType):
    """Stands in for a module, which is imported once something of it is used."""

    def __getattr__(self, name: str) -> object:
        _remove(self)
        return getattr(import_module(self.__name__), name)


@contextlib.contextmanager
def _later(names: Collection[str]) -> Iterator[None]:
    """What is imported in this block gets stand-ins for these modules."""
    stand_ins = [_Later(name) for name in names if name not in sys.modules]
    sys.modules.update((module.__name__, module) for module in stand_ins)
    try:
        yield
    finally:
        for module in stand_ins:
            _remove(module)


def _remove(module: ModuleType) -> None:
    """Lets the real module be imported, unless it is already."""
    if sys.modules.get(module.__name__) is module:
        del sys.modules[module.__name__]


class _NoCertificates(ModuleType):
    """Stands in for `ssl` where only the places of certificates are asked for."""

    @staticmethod
    def get_default_verify_paths() -> SimpleNamespace:
        """No file and no directory."""
        return SimpleNamespace(cafile=None, capath=None)


def _tune_malloc() -> None:
    try:
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
    except (ImportError, OSError, AttributeError):
        return  # a Python without ctypes, or a C library without mallopt
    for name, number, value in _MALLOC:
        if f"MALLOC_{name}" not in os.environ:
            mallopt(number, value)
