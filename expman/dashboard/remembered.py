"""The rows of many ended runs, kept for the next start of the page.

To read ten thousand runs takes seconds; to see that none has changed takes a `stat` of each. The
file is in the user's cache directory, and may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping

import msgspec

from expman.storage.paths import create_temp, read_regular, write_all
from expman.version import VERSION

__all__ = ["FEWEST_RUNS", "Remembered", "RememberedRun"]

FEWEST_RUNS = 200
"""Fewer are read at once."""
MOST_BYTES = 512 * 1024 * 1024
_FORMAT = 1


class RememberedRun(msgspec.Struct, frozen=True, array_like=True):
    """A run that had ended.

    Attributes:
        path: its directory.
        record: its row of the table, as JSON.
        began: what sorts runs by their start.
        seen: times by which a change shows.
    """

    path: str
    record: bytes
    began: str
    seen: tuple[tuple[int, ...], ...]


class _File(msgspec.Struct, array_like=True):
    format: int
    version: str
    base_dir: str
    runs: dict[str, RememberedRun]


class Remembered:
    """The file for one base directory."""

    def __init__(self, base_dir: str) -> None:
        self._base_dir = os.path.realpath(base_dir)
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        digest = hashlib.sha256(os.fsencode(self._base_dir)).hexdigest()[:16]
        self._path = os.path.join(home, "expman", "ui", f"{digest}.msgpack")

    def load(self) -> dict[str, RememberedRun]:
        """Returns the runs by their ids; none if the file cannot be used."""
        try:
            info = os.lstat(self._path)
            if info.st_uid != os.getuid():
                return {}
            data = read_regular(self._path, most_bytes=MOST_BYTES)
            found = msgspec.msgpack.decode(data, type=_File)
        except (OSError, msgspec.MsgspecError, UnicodeError):
            return {}
        expected = (_FORMAT, VERSION, self._base_dir)
        return found.runs if (found.format, found.version, found.base_dir) == expected else {}

    def save(self, runs: Mapping[str, RememberedRun]) -> None:
        """Replaces the file; a cache that cannot be written is not worth a word."""
        temp = None
        try:
            data = msgspec.msgpack.encode(_File(_FORMAT, VERSION, self._base_dir, dict(runs)))
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            fd, temp = create_temp(os.path.dirname(self._path))
            try:
                os.fchmod(fd, 0o600)
                write_all(fd, data)
            finally:
                os.close(fd)
            os.rename(temp, self._path)
        except (OSError, msgspec.MsgspecError, UnicodeError):
            if temp is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temp)
