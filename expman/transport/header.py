"""The first two words of every segment: what it is, and by which layout.

One place stamps them and one place checks them. Whose the segment is, `segment.Segment` checks:
it opens no file of another user.
"""

from __future__ import annotations

import mmap

from expman.errors import CorruptLaneError, LayoutVersionError
from expman.transport import layout

__all__ = ["check_header", "stamp"]

_KINDS = {
    layout.MAGIC_ADDRESS: "an address",
    layout.MAGIC_LANE: "a lane",
    layout.MAGIC_SPOOL: "a spool",
    layout.MAGIC_TERM: "a term",
}


def stamp(words: memoryview, magic: int) -> None:
    """Makes new memory a segment of this layout.

    The magic number is stored last: who sees it sees the version, too.
    """
    words[layout.VERSION] = layout.LAYOUT_VERSION
    words[layout.MAGIC] = magic


def check_header(
    name: str, memory: mmap.mmap | bytes | bytearray | memoryview, magic: int, least_bytes: int
) -> None:
    """Checks that a segment is of the kind that its name stands for, and of this layout.

    Args:
        name: the segment's name.
        memory: the segment, mapped or copied.
        magic: which kind of segment it must be.
        least_bytes: bytes that every segment of this kind has.

    Raises:
        CorruptLaneError: it is something else, or too short.
        LayoutVersionError: it is of another version.
    """
    head = memoryview(memory)[: 8 * (layout.VERSION + 1)]
    if len(head) < 8 * (layout.VERSION + 1):
        raise CorruptLaneError(name, 0, f"it has only {len(memory)} bytes")
    words = head.cast("Q")
    if words[layout.MAGIC] != magic:
        raise CorruptLaneError(name, 0, f"no magic number: it is not {_KINDS[magic]}")
    # Before the size: a segment of another version may be of another size.
    if words[layout.VERSION] != layout.LAYOUT_VERSION:
        raise LayoutVersionError(name, words[layout.VERSION], layout.LAYOUT_VERSION)
    if len(memory) < least_bytes:
        raise CorruptLaneError(name, 0, f"it has only {len(memory)} bytes")
