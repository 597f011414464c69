"""Opening the control of a lane: which words may be read at all."""

from __future__ import annotations

import mmap

from expman.errors import CorruptLaneError, LayoutVersionError
from expman.transport import layout

__all__ = ["control_words"]


def control_words(name: str, mapping: mmap.mmap) -> memoryview:
    """The words of a lane's control, once its producer has published it.

    Another version's control may be of another size: nothing but magic, version and the length
    of the hello stands in the same place in every version.

    Raises:
        FileNotFoundError: the hello is not there yet.
        CorruptLaneError: it is not a lane.
        LayoutVersionError: it is one of another version.
    """
    head = memoryview(mapping)[: 8 * (layout.HELLO_BYTES + 1)].cast("Q")
    if not head[layout.HELLO_BYTES]:
        raise FileNotFoundError(name)
    if head[layout.MAGIC] != layout.MAGIC_LANE:
        raise CorruptLaneError(name, 0, "no magic number: this is no lane")
    if head[layout.VERSION] != layout.LAYOUT_VERSION:
        raise LayoutVersionError(name, head[layout.VERSION], layout.LAYOUT_VERSION)
    if len(mapping) < layout.CONTROL_BYTES:
        raise CorruptLaneError(name, 0, f"it has {len(mapping)} bytes only")
    return memoryview(mapping)[: layout.CONTROL_BYTES].cast("Q")
