"""The rows of many ended runs, kept for the next start of the page.

To read ten thousand runs takes seconds; to see that none has changed takes a `stat` of each. The
file is in the user's cache directory, and may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib

import msgspec

from expman.dashboard.known_runs import KnownRun, Packing
from expman.storage.paths import create_temp, read_regular, write_all
from expman.version import VERSION

__all__ = ["FEWEST_RUNS", "Remembered"]

FEWEST_RUNS = 200
"""Fewer are read at once."""
MOST_BYTES = 512 * 1024 * 1024
_FORMAT = 2


class _File(msgspec.Struct, array_like=True):
    format: int
    version: str
    base_dir: str
    model: bytes
    runs: dict[str, KnownRun]


class Remembered:
    """The file for one base directory."""

    def __init__(self, base_dir: str) -> None:
        self._base_dir = os.path.realpath(base_dir)
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        digest = hashlib.sha256(os.fsencode(self._base_dir)).hexdigest()[:16]
        self._path = os.path.join(home, "expman", "ui", f"{digest}.msgpack")

    def load(self) -> tuple[Packing, dict[str, KnownRun]]:
        """Returns the runs by their ids, and how rows are packed; none if it cannot be used."""
        try:
            info = os.lstat(self._path)
            if info.st_uid != os.getuid():
                return Packing(), {}
            data = memoryview(read_regular(self._path, most_bytes=MOST_BYTES))
            if zlib.crc32(data[4:]) != int.from_bytes(data[:4], "little"):
                return Packing(), {}
            found = msgspec.msgpack.decode(data[4:], type=_File)
        except (OSError, msgspec.MsgspecError, UnicodeError):
            return Packing(), {}
        expected = (_FORMAT, VERSION, self._base_dir)
        if (found.format, found.version, found.base_dir) != expected:
            return Packing(), {}
        return Packing(found.model), found.runs

    def save(self, packing: Packing, runs: dict[str, KnownRun]) -> None:
        """Replaces the file; a cache that cannot be written is not worth a word."""
        temp = None
        try:
            text = msgspec.msgpack.encode(
                _File(_FORMAT, VERSION, self._base_dir, packing.model, runs)
            )
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            fd, temp = create_temp(os.path.dirname(self._path))
            try:
                os.fchmod(fd, 0o600)
                write_all(fd, zlib.crc32(text).to_bytes(4, "little"))
                write_all(fd, text)
            finally:
                os.close(fd)
            os.rename(temp, self._path)
        except (OSError, msgspec.MsgspecError, UnicodeError):
            if temp is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temp)
