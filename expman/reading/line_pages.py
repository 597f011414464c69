"""Pieces of console.log and run.log: whole lines from a byte on, or the last ones."""

from __future__ import annotations

import os
from typing import NamedTuple

from expman.storage.paths import open_regular, storage_error

__all__ = ["Piece", "piece_of"]

PIECE_BYTES = 256 * 1024
"""Most of a file that is read at once."""


class Piece(NamedTuple):
    """Whole lines of a file.

    Attributes:
        text: the lines, each with its end.
        start: the byte at which they begin.
        next: the byte after them.
        size: bytes of the file.
    """

    text: str
    start: int
    next: int
    size: int


def piece_of(path: str, start: int | None, *, last_bytes: int = PIECE_BYTES) -> Piece:
    """Reads whole lines of a file.

    Args:
        path: the file; one that does not exist is empty.
        start: where a line begins; None: the last lines.
        last_bytes: of the end of the file, if no start is given.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        with os.fdopen(open_regular(path, follow=True), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            is_end = start is None
            begin = max(0, size - min(last_bytes, PIECE_BYTES)) if start is None else start
            begin = min(begin, size)
            file.seek(begin)
            data = file.read(PIECE_BYTES)
    except FileNotFoundError:
        return Piece("", 0, 0, 0)
    except OSError as exc:
        raise storage_error(path, exc) from exc
    if is_end and begin:
        torn = data.find(b"\n") + 1
        data, begin = data[torn:], begin + torn
    whole = data.rfind(b"\n") + 1
    if not whole and len(data) == PIECE_BYTES:  # one endless line: it is cut
        whole = len(data)
        text = data.decode("utf-8", "replace") + "\n"
    else:
        text = data[:whole].decode("utf-8", "replace")
    return Piece(text, begin, begin + whole, size)
