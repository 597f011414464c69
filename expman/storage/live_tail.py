"""The files of the live tail: which one is appended to, and which are durable."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection, Mapping

import pyarrow as pa

from expman.shown import count_of
from expman.storage.columns import Columns, Warn
from expman.storage.directory import RunDirectory
from expman.storage.paths import VECTORS, tail_name
from expman.storage.pending import MAX_BATCH_CELLS, SPARSE, WIDE_COLUMNS
from expman.storage.tail import TailFile

__all__ = ["LiveTail"]

MAX_KEPT_BYTES = 8 * 1024 * 1024
"""Bytes that are kept in memory until they are durable, about."""
MAX_OPEN_TAILS = 16
"""Tail files that may be open at once because they are not durable yet."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class LiveTail:
    """The tail files of one run, in the order of their rows.

    Attributes:
        files: the files.
        current: the last one, if it can be appended to.
    """

    def __init__(
        self,
        directory: RunDirectory,
        files: list[TailFile],
        next_number: int,
        warn: Warn,
        stem: str = VECTORS,
    ) -> None:
        self.files = files
        self.current: TailFile | None = None
        self._directory = directory
        self._next_number = next_number
        self._warn = warn
        self._stem = stem

    @property
    def rows(self) -> int:
        """Rows in the files."""
        return sum(file.rows for file in self.files)

    @property
    def is_doubtful(self) -> bool:
        """True if an fsync failed, so that the next one makes a new file."""
        return any(file.is_doubtful for file in self.files)

    @property
    def wants_sync(self) -> bool:
        """True if too much is kept in memory until it is durable."""
        return sum(file.kept_bytes for file in self.files) > MAX_KEPT_BYTES

    def heal(self) -> None:
        """Cuts off what a failed append has left.

        Raises:
            OSError: it cannot be done now.
        """
        for file in self.files:
            if file.torn:
                file.heal()

    def file_for(self, columns: Columns, arrays: Mapping[str, pa.Array], rows: int) -> TailFile:
        """Returns the file to append to; makes a new one if these columns do not go into it.

        Args:
            columns: all columns of the run.
            arrays: the columns to be appended, besides those that every file has.
            rows: their length.

        Raises:
            OSError: the file cannot be made, or an earlier one cannot be made durable.
        """
        known: dict[str, object] = {}
        if self.current is not None:
            types = self.current.types
            fits = all(types.get(name) == array.type for name, array in arrays.items())
            wide = len(types) > max(WIDE_COLUMNS, SPARSE * len(arrays))
            large = rows * (len(types) + len(arrays)) > MAX_BATCH_CELLS
            if fits and not wide and not large:
                return self.current
            # One growing schema, or each batch would carry a file of its own. But where rows
            # of many different keys alternate, it would be mostly nulls: begin a narrow one.
            if not wide and not large:
                known.update(types)
        self.seal()
        self.current = self._create(columns.schema({**known, **arrays}))
        self.files.append(self.current)
        self._directory.names_changed = True
        return self.current

    def _create(self, schema: pa.Schema) -> TailFile:
        if sum(file.is_open for file in self.files) >= MAX_OPEN_TAILS:
            self.sync()
        while True:
            path = os.path.join(self._directory.path, tail_name(self._next_number, self._stem))
            self._next_number += 1
            file = TailFile(path, schema)
            with contextlib.suppress(FileExistsError):  # not ours: leave it to the next resume
                file.create()
                return file

    def after_failure(self, file: TailFile, exc: Exception) -> None:
        """Keeps a file that is merely full for the next try; any other one is not appended to."""
        if not file.good_bytes:
            self._drop(file)
            with contextlib.suppress(OSError):
                os.unlink(file.path)
        elif isinstance(exc, FileNotFoundError):
            self._forget(file)
        elif file.torn or getattr(exc, "errno", None) not in _NO_ROOM:
            self.seal()

    def _forget(self, file: TailFile) -> None:
        gone = count_of(file.rows, "row is gone", "rows are gone")
        self._warn(file.path, f"{file.path} was removed by somebody; its {gone}")
        self._drop(file)

    def _drop(self, file: TailFile) -> None:
        file.close()
        self.files.remove(file)
        if self.current is file:
            self.current = None

    def seal(self) -> None:
        """Ends the current file: the next rows begin a new one."""
        file, self.current = self.current, None
        if file is not None:
            file.seal()

    def sync(self) -> None:
        """Makes the rows in the files durable; the names are synced with the directory.

        Raises:
            OSError: not all are.
        """
        for file in list(self.files):
            self._directory.names_changed |= file.is_doubtful  # a new file will take its name
            try:
                file.sync()
            except FileNotFoundError:
                self._directory.ensure()
                if self._directory.has(os.path.basename(file.path)):
                    raise
                self._forget(file)

    def doubt_names(self) -> None:
        """Notes that an fsync of the directory failed: new names go to new files."""
        for file in self.files:
            if file.has_new_name:
                file.doubt()

    def trust_names(self) -> None:
        """Notes that an fsync of the directory succeeded."""
        for file in self.files:
            file.has_new_name = False

    def remove(self, files: Collection[TailFile]) -> None:
        """Forgets files whose rows vectors.parquet has."""
        self.files = [file for file in self.files if file not in files]

    def close(self) -> None:
        """Closes the files."""
        for file in self.files:
            file.close()
        self.current = None
