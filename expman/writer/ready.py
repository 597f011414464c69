"""The ready file: where a supervisor, or a trainer in another container, finds the address."""

from __future__ import annotations

import os
import stat
from types import TracebackType

from expman.errors import StorageError
from expman.storage.paths import replace_file
from expman.transport import segment

__all__ = ["ReadyFile"]


class ReadyFile:
    """A file that has the address as long as the writer takes runs; without a path it does nothing.

    Raises:
        StorageError: it cannot be written.
    """

    def __init__(self, path: str | None, address: segment.Address) -> None:
        self._path = path
        self._text = f"{address}\n".encode()

    def __enter__(self) -> ReadyFile:
        if self._path is not None:
            replace_file(self._path, self._text)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._path is None:
            return
        try:
            if self._is_ours():
                os.unlink(self._path)
        except FileNotFoundError:
            return
        except OSError as exc_:
            raise StorageError(self._path, str(exc_.strerror)) from exc_

    def _is_ours(self) -> bool:
        """True if the file is this writer's, and not that of a successor or another user."""
        assert self._path is not None
        fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return stat.S_ISREG(os.fstat(fd).st_mode) and os.read(fd, 4096) == self._text
        finally:
            os.close(fd)
