"""Length of a msgpack value, without decoding it (msgpack specification, format overview)."""

from __future__ import annotations

__all__ = ["value_end"]

# First byte -> (bytes after it that give a count, bytes per counted unit or None for
# containers, fixed bytes). Containers count items; maps count twice as many.
_FIXED = {0xC0: 1, 0xC2: 1, 0xC3: 1, 0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9}
_FIXED |= {0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9, 0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18}
_SIZED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_SIZED |= {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_COUNTED = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def value_end(data: memoryview | bytes, start: int) -> int:
    """Offset just behind the value that begins at `start`.

    Raises:
        ValueError: if it is cut off or no msgpack value.
    """
    position, todo, size = start, 1, len(data)
    while todo:
        todo -= 1
        if position >= size:
            raise ValueError(f"value at {start} is cut off")
        head = data[position]
        if head < 0x80 or head >= 0xE0:
            position += 1
        elif head < 0x90:
            position, todo = position + 1, todo + 2 * (head & 0x0F)
        elif head < 0xA0:
            position, todo = position + 1, todo + (head & 0x0F)
        elif head < 0xC0:
            position += 1 + (head & 0x1F)
        elif head in _FIXED:
            position += _FIXED[head]
        elif head in _SIZED:
            width, extra = _SIZED[head]
            length = int.from_bytes(data[position + 1 : position + 1 + width], "big")
            position += 1 + width + extra + length
        elif head in _COUNTED:
            width, factor = _COUNTED[head]
            todo += factor * int.from_bytes(data[position + 1 : position + 1 + width], "big")
            position += 1 + width
        else:
            raise ValueError(f"byte {head:#04x} at {position} begins no value")
    if position > size:
        raise ValueError(f"value at {start} is cut off")
    return position
