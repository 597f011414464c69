"""A file of lines that a writer appends to, and a successor goes on with."""

from __future__ import annotations

import contextlib
import os
from typing import ClassVar

from expman.failpoints import hit
from expman.storage.appendfile import AppendFile
from expman.storage.paths import IrregularFileError, open_regular, storage_error

__all__ = ["LineFile"]

_BLOCK_BYTES = 64 * 1024
_KEPT_BYTES = 1024 * 1024
"""No more lines than that are kept in memory until they are durable."""


class LineFile:
    """One such file of one run. A subclass says which, and how a line looks.

    Attributes:
        path: where it is.
        file_name: its name.
        point: the first word of its named points of failure.
    """

    file_name: ClassVar[str]
    point: ClassVar[str]

    def __init__(self, run_dir: str) -> None:
        self.path = os.path.join(run_dir, self.file_name)
        self._file = AppendFile(self.path)
        self._file.sync_point = f"{self.point}-sync"

    def create(self) -> None:
        """Makes an empty file unless there is one, so that it can be followed from the start.

        If that fails, the first append raises the reason.
        """
        with contextlib.suppress(OSError):
            self._file.open_or_replace()
            self._file.close()

    def append_text(self, text: str) -> None:
        """Appends whole lines in one write.

        Durability: written when it returns; see `sync`.

        Raises:
            StorageError: nothing was appended; the same call can be made again.
        """
        if not text:
            return
        data = text.encode("utf-8", "backslashreplace")
        if self._file.kept_bytes > _KEPT_BYTES:
            self.sync()
        try:
            if self._file.was_removed:
                self._file.forget()
            if not self._file.is_open:
                self._file.open_or_replace()
            with self._file.appending() as write:
                hit(f"{self.point}-before-append")
                write(data, f"{self.point}-half-appended")
                hit(f"{self.point}-after-append")
        except OSError as exc:
            raise storage_error(self.path, exc) from exc

    def size(self) -> int:
        """Bytes in the file; 0 if there is none."""
        try:
            return os.lstat(self.path).st_size
        except FileNotFoundError:
            return 0
        except OSError as exc:
            raise storage_error(self.path, exc) from exc

    def truncate(self, size: int) -> None:
        """Cuts the file to `size` bytes; it never makes it longer."""
        if self.size() <= size:
            return
        self.sync()
        self._file.forget()
        try:
            fd = open_regular(self.path, os.O_WRONLY)
            try:
                os.ftruncate(fd, size)
            finally:
                os.close(fd)
        except OSError as exc:
            raise storage_error(self.path, exc) from exc

    def mend(self) -> None:
        """Cuts off the zeros that a machine crash left, and ends a torn line.

        Raises:
            StorageError: it cannot be done.
        """
        try:
            fd = open_regular(self.path, os.O_RDWR)
        except (FileNotFoundError, IrregularFileError):
            return
        except OSError as exc:
            raise storage_error(self.path, exc) from exc
        try:
            size, tail = os.fstat(fd).st_size, b""
            while size and not tail:
                start = max(0, size - _BLOCK_BYTES)
                tail = os.pread(fd, size - start, start).rstrip(b"\0")
                size = start + len(tail)
            os.ftruncate(fd, size)
            if tail and not tail.endswith(b"\n"):
                os.pwrite(fd, b"\n", size)
        except OSError as exc:
            raise storage_error(self.path, exc) from exc
        finally:
            os.close(fd)

    def sync(self) -> None:
        """Makes what was appended durable. A file that does not exist is.

        Raises:
            StorageError: it is not; what was appended is kept in memory for the next call.
        """
        file = self._file
        if file.synced and not file.has_new_name:
            return
        try:
            if not file.is_open:
                file.open(create=False)
            file.sync()
            file.sync_name()
            file.close()
        except FileNotFoundError as exc:
            if not os.path.isdir(os.path.dirname(self.path)):
                raise storage_error(self.path, exc) from exc
            file.close()  # there is none, or somebody deleted it
        except OSError as exc:
            raise storage_error(self.path, exc) from exc

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
