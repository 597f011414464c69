"""Reader of the live tail: takes whole batches while the writer appends and removes files."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

import pyarrow as pa

from expman.errors import StorageError
from expman.storage.columns import check_layout
from expman.storage.paths import VECTORS, open_regular, storage_error, tail_number

__all__ = ["TailReader", "read_whole", "tail_paths", "unreadable"]


def tail_paths(run_dir: str, stem: str = VECTORS) -> list[str]:
    """Returns the tail files of a table that exist now, in the order of their rows.

    Raises:
        StorageError: the directory cannot be read.
    """
    try:
        names = os.listdir(run_dir)
    except OSError as exc:
        raise storage_error(run_dir, exc) from exc
    numbered = [(number, name) for name in names if (number := tail_number(name, stem)) is not None]
    return [os.path.join(run_dir, name) for _, name in sorted(numbered)]


class TailReader:
    """Reads one tail file; each call of `batches()` yields what has come since the last.

    The file is opened once, so it can be read to its end after the writer has removed it.

    Args:
        path: the file.
        columns: read only these; all if None.

    Raises:
        FileNotFoundError: it was consolidated just now.
        StorageError: it cannot be read.
    """

    def __init__(self, path: str, columns: Collection[str] | None = None) -> None:
        self.path = path
        self.schema: pa.Schema | None = None
        self._columns = columns
        self._offset = 0
        try:
            fd = open_regular(path, follow=True)
            self._file = os.fdopen(fd, "rb", buffering=0)
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise storage_error(path, exc) from exc

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yields the complete batches after those read before.

        Raises:
            StorageError: the file cannot be read, or a later version of expman wrote it.
        """
        try:
            self._file.seek(self._offset)
            fresh = pa.BufferReader(self._file.readall())
        except OSError as exc:
            raise storage_error(self.path, exc) from exc
        start = self._offset
        while fresh.tell() < fresh.size():
            try:
                message = pa.ipc.read_message(fresh)
                if self.schema is None:
                    schema = pa.ipc.read_schema(message)
                    check_layout(self.path, schema.metadata)
                    self.schema = schema
                    batch = None
                else:
                    batch = pa.ipc.read_record_batch(message, self.schema)
            except (EOFError, pa.ArrowException, OSError):
                return  # a message that is being written, or whose writer was killed
            self._offset = start + fresh.tell()
            if batch is not None:
                yield self._chosen(batch)

    def _chosen(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if self._columns is None:
            return batch
        return batch.select([name for name in batch.schema.names if name in self._columns])

    @property
    def is_in_place(self) -> bool:
        """False once another file has its name: that of a later attempt, or a mended one."""
        here = os.fstat(self._file.fileno())
        try:
            there = os.stat(self.path)
        except OSError:
            return False
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_whole(path: str, columns: Collection[str] | None) -> tuple[pa.Schema, pa.Table] | None:
    """Reads the whole schema and the rows of a tail file; None if it is gone or empty."""
    try:
        tail = TailReader(path, columns)
    except FileNotFoundError:
        return None
    try:
        batches = list(tail.batches())
    finally:
        tail.close()
    if tail.schema is None or not batches:
        return None
    return tail.schema, pa.Table.from_batches(batches)


def unreadable(path: str, exc: Exception) -> StorageError:
    """Makes the error for a file that Arrow cannot read."""
    return StorageError(path, str(exc).splitlines()[0] if str(exc) else type(exc).__name__)
