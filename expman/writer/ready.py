"""The ready file: where a supervisor, or a trainer in another container, finds the address."""

from __future__ import annotations

import os
from types import TracebackType

from expman.errors import StorageError
from expman.storage.paths import replace_file
from expman.transport import segment

__all__ = ["ReadyFile"]


class ReadyFile:
    """Holds the address as long as the writer takes runs; without a path it does nothing.

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
            with open(self._path, "rb") as file:
                if file.read() == self._text:  # and not that of a successor
                    os.unlink(self._path)
        except FileNotFoundError:
            return
        except OSError as exc_:
            raise StorageError(self._path, str(exc_.strerror)) from exc_
