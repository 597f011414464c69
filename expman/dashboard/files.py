"""Files of a run, opened so that nothing outside the base directory is ever read.

A path of a request has only names below the run's directory. What it leads to, symbolic links
included, must be below the base directory; that is looked at once more on the opened file.
"""

from __future__ import annotations

import mimetypes
import os
import stat
from typing import IO
from urllib.parse import quote

from starlette.exceptions import HTTPException

from expman.storage.paths import open_regular

__all__ = ["PLAIN_TEXT", "SANDBOX", "file_headers", "open_inside", "safe_type"]

PLAIN_TEXT = "text/plain; charset=utf-8"
SANDBOX = "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'none'"
"""A file of a run runs no script, sends no form and loads nothing, whatever it is."""
_SAFE = (
    *("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/apng"),
    *("audio/wav", "audio/x-wav", "audio/mpeg", "audio/ogg", "audio/flac", "audio/mp4"),
    *("video/mp4", "video/webm", "video/ogg"),
)
_NOT_THERE = "There is no such file in this run."


def safe_type(name: str) -> str | None:
    """Returns the media type of a file that a browser may show; None if it may only be saved."""
    guessed, encoding = mimetypes.guess_type(name)
    if encoding is not None:
        return None
    if name.lower().endswith(".txt"):
        return PLAIN_TEXT
    return guessed if guessed in _SAFE else None


def file_headers(name: str, *, inline: bool) -> dict[str, str]:
    """Returns the headers of an answer that is a file of a run."""
    kind = "inline" if inline else "attachment"
    disposition = f"{kind}; filename*=UTF-8''{quote(os.path.basename(name), safe='')}"
    return {"Content-Security-Policy": SANDBOX, "Content-Disposition": disposition}


def open_inside(base_dir: str, run_dir: str, name: str) -> IO[bytes]:
    """Opens a file of a run.

    Args:
        base_dir: what nothing may lead out of.
        run_dir: the run's directory, below it.
        name: the file, relative to the run's directory.

    Raises:
        HTTPException: 404, there is no such file, or it is outside.
        OSError: it cannot be read.
    """
    parts = name.split("/")
    if os.path.isabs(name) or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise HTTPException(404, _NOT_THERE)
    base = os.path.realpath(base_dir).rstrip(os.sep) + os.sep
    real = os.path.realpath(os.path.join(run_dir, name))
    if not real.startswith(base):
        raise HTTPException(404, "This file is a link that leaves the base directory.")
    try:
        fd = open_regular(real)
    except (FileNotFoundError, NotADirectoryError):
        raise HTTPException(404, _NOT_THERE) from None
    file = os.fdopen(fd, "rb")
    if not _is_where_it_was(fd, real, base):
        file.close()
        raise HTTPException(404, "This file was replaced just now.")
    return file


def _is_where_it_was(fd: int, real: str, base: str) -> bool:
    """Returns whether no directory was replaced by a link while the file was opened."""
    if not os.path.realpath(real).startswith(base):
        return False
    try:
        now = os.lstat(real)
    except OSError:
        return False
    return os.path.samestat(now, os.fstat(fd)) and stat.S_ISREG(now.st_mode)
