"""What the server keeps of each run: little, for there may be 100,000 of them."""

from __future__ import annotations

import os
import struct
import zlib

import msgspec

from expman.storage.paths import CONFIG_YAML, NOTES_MD, RUN_YAML

__all__ = ["KnownRun", "KnownRuns", "Packing", "signatures"]

_WINDOW_BITS, _MEMORY_LEVEL = 12, 5
"""A row has about 1 kB: larger ones cost time to clear, and find no more."""
_SIGNATURE = struct.Struct("<QqQ")


class KnownRun(msgspec.Struct, array_like=True, gc=False):
    """A run as it was last looked at.

    Attributes:
        version: of the catalog when it changed last.
        packed: its row of the table; see `Packing`.
        began: what sorts runs by their start.
        seen: times and sizes by which a change shows.
        is_live: its status is RUNNING.
        place: its directory, if the run's id does not say it.
    """

    version: int
    packed: bytes
    began: str
    seen: bytes
    is_live: bool = False
    place: str | None = None


class Packing:
    """Rows as they are kept: a fifth of their JSON, as one is much like another.

    Args:
        model: a row that others are like; the first one that is packed, if left out.
    """

    def __init__(self, model: bytes = b"") -> None:
        self.model = model

    def pack(self, record: bytes) -> bytes:
        """Returns a row as it is kept; equal rows are equal then, too."""
        if not self.model:
            self.model = record
        packer = zlib.compressobj(
            1, zlib.DEFLATED, -_WINDOW_BITS, _MEMORY_LEVEL, zdict=self.model[-(1 << 12) :]
        )
        return packer.compress(record) + packer.flush()

    def unpack(self, packed: bytes) -> bytes:
        """Returns the row."""
        return zlib.decompressobj(-_WINDOW_BITS, zdict=self.model[-(1 << 12) :]).decompress(packed)


class KnownRuns(dict[str, KnownRun]):
    """Runs by their ids, in the order of their versions, and how their rows are packed."""

    def __init__(self, packing: Packing) -> None:
        super().__init__()
        self.packing = packing


def signatures(path: str, is_live: bool) -> bytes:
    """Returns times and sizes by which a change of a run shows."""
    if not is_live:
        return _signature(path)
    names = (RUN_YAML, CONFIG_YAML, NOTES_MD)
    return b"".join(_signature(os.path.join(path, name)) for name in names)


def _signature(path: str) -> bytes:
    try:
        info = os.stat(path)
    except OSError:
        return b"-"
    return _SIGNATURE.pack(info.st_ino, info.st_mtime_ns, info.st_size)
