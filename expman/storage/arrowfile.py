"""Opens a run's Arrow and Parquet files for reading, and only if they are plain files."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as pq

from expman.storage.paths import open_regular

__all__ = ["open_arrow", "read_parquet"]


def open_arrow(path: str, *, follow: bool = False) -> pa.NativeFile:
    """Opens a file for pyarrow; see `open_regular`, whose rules hold.

    pyarrow opens by name only. The name of a descriptor leads to the file that was looked at,
    whatever has taken its own name since then.

    Raises:
        IrregularFileError: it is something else than a plain file.
        OSError: it cannot be opened.
    """
    fd = open_regular(path, follow=follow)
    try:
        return pa.OSFile(f"/proc/self/fd/{fd}")
    except FileNotFoundError:  # a container without /proc
        return pa.PythonFile(os.fdopen(os.dup(fd), "rb"), "r")
    finally:
        os.close(fd)


def read_parquet(source: pa.NativeFile) -> pa.Table:
    """Reads a whole Parquet file, in this thread.

    `pyarrow.parquet.read_table` leaves work to Arrow's threads that goes on after it has returned.
    Where the bytes belong to a Python object, that work takes the GIL to let go of them; once the
    interpreter is ending, CPython ends a thread that asks for the GIL, and C++ answers by
    aborting the process: "terminate called without an active exception".
    """
    with pq.ParquetFile(source, pre_buffer=False) as file:
        return file.read(use_threads=False)
