"""Several pictures of one shape as one, side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from expman.media_values import Medium, Pixels, image_of
from expman.shown import shown, type_name

__all__ = ["grid_of"]

_GAP = 2


def grid_of(tag: str, images: Iterable[Any], columns: int | None) -> Medium:
    """Puts arrays together, with a gap of zeros between them.

    Raises:
        TypeError, ValueError: naming the tag, the shapes, and what is accepted.
    """
    try:
        found = [image_of(tag, image) for image in images]
    except TypeError as exc:
        if isinstance(images, Iterable):
            raise
        raise TypeError(f"images {tag!r} are {type_name(images)}, not a list or an array") from exc
    layouts = {medium.pixels for medium in found}
    pixels = layouts.pop() if len(layouts) == 1 else None
    if pixels is None:
        shapes = sorted({str(medium.pixels and medium.pixels[1]) for medium in found})
        got = ", ".join(shapes) or "none"
        raise ValueError(
            f"images {tag!r} must be one or more arrays of one shape and type, got {got}"
        )
    columns = math.ceil(math.sqrt(len(found))) if columns is None else columns
    if type(columns) is not int or columns < 1:
        raise ValueError(f"images {tag!r}: columns {shown(columns)} must be a whole number from 1")
    parts = [memoryview(medium.data) for medium in found]
    return _put_together(parts, pixels, min(columns, len(found)))


def _put_together(parts: list[memoryview], pixels: Pixels, columns: int) -> Medium:
    code, shape, channels_first, _ = pixels
    planes = shape[0] if channels_first else 1
    height, width = shape[1:] if channels_first else shape[:2]
    deep = shape[2] if len(shape) == 3 and not channels_first else 1
    value = len(parts[0]) // (planes * height * width * deep)
    stride = width * deep * value
    rows = -(-len(parts) // columns)
    full_height, full_width = rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP
    full_stride = full_width * deep * value
    out = bytearray(planes * full_height * full_stride)
    for number, part in enumerate(parts):
        row, column = divmod(number, columns)
        left = column * (width + _GAP) * deep * value
        for plane in range(planes):
            for y in range(height):
                start = (plane * full_height + row * (height + _GAP) + y) * full_stride + left
                source = (plane * height + y) * stride
                out[start : start + stride] = part[source : source + stride]
    full: tuple[int, ...] = (full_height, full_width)
    if len(shape) == 3:
        full = (planes, *full) if channels_first else (*full, deep)
    return Medium("png", memoryview(out), (code, full, channels_first, 0.0))
