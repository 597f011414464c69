"""Rows of one length that lie back to back, decoded all at once: no object per value.

Where all records have the same length and types, a byte of a field has the same distance from that
of the next record everywhere, so a slice with a step takes it from all records at once. Every byte
except those of ordinals is checked: msgspec would decode the same rows (`test_bulk_decode`). The
formats are those of the msgpack specification.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TypeAlias

import msgspec

from expman.transport.encoding import VECTOR
from expman.transport.records import Record, decode_many

__all__ = ["Rows", "decode_batch", "decode_rows"]

LEAST_ROWS, LEAST_WIDE_ROWS, WIDE_BYTES = 64, 16, 1024
"""With fewer rows, decoding by columns takes longer than decoding by rows."""

Numbers: TypeAlias = "memoryview[int] | memoryview[float]"
_WIDTHS = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}  # of unsigned integers
_NIL, _FLOAT64, _ARRAY16, _ARRAY32 = 0xC0, 0xCB, 0xDC, 0xDD


class Rows(msgspec.Struct, frozen=True):
    """Vectors that followed each other, column by column.

    Attributes:
        count: how many.
        schema: the number of their names.
        steps: int64, or None for each.
        logged_at_ns: int64, nanoseconds since the epoch.
        columns: per name the values, all float64 (format "d") or all int64 (format "q").
    """

    count: int
    schema: int
    steps: Sequence[int | None]
    logged_at_ns: Sequence[int]
    columns: list[Numbers]


def decode_batch(data: bytes, lengths: list[int]) -> list[Record | Rows]:
    """Decodes records that lie back to back.

    Raises:
        msgspec.DecodeError: the bytes are not exactly records of these lengths.
    """
    decoded: list[Record | Rows] = []
    begin = waiting = end = 0  # bytes and number of records that are to be decoded singly
    for count, length in _runs(lengths):
        size = count * length
        least = LEAST_ROWS if length < WIDE_BYTES else LEAST_WIDE_ROWS
        rows = decode_rows(data[end : end + size], count) if count >= least else None
        if rows is None:
            waiting += count
        else:
            decoded += decode_many(data[begin:end], waiting) if waiting else ()
            decoded.append(rows)
            begin, waiting = end + size, 0
        end += size
    decoded += decode_many(data[begin:end], waiting) if waiting else ()
    return decoded


def _runs(lengths: list[int]) -> Iterator[tuple[int, int]]:
    """Runs of equal lengths: how many, and which length."""
    others = same = 0
    if lengths:
        same = lengths.count(lengths[-1])
        others = len(lengths) - same
        if lengths.index(lengths[-1]) < others:  # there are some of that length before, too
            others, same = len(lengths), 0
    for length, group in groupby(lengths[:others]):  # nearly always few: it looks at each
        yield len(list(group)), length
    if same:
        yield same, lengths[-1]


def decode_rows(data: bytes, count: int) -> Rows | None:
    """Decodes `count` vectors of equal length; None if their types differ."""
    if sys.byteorder != "little":
        return None
    try:
        return _decode(_Cursor(data, count))
    except (ValueError, IndexError):
        return None


def _decode(cursor: _Cursor) -> Rows:
    if cursor.same() != 0x96 or cursor.same() != VECTOR:
        raise ValueError("no array of six items that begins with the tag of a vector")
    cursor.skip_integer()
    logged_at_ns = cursor.integers()
    steps: Sequence[int | None]
    if cursor.head() == _NIL:
        cursor.same()
        steps = [None] * cursor.count
    else:
        steps = cursor.integers()
    schemas = cursor.integers()
    if schemas.tobytes() != schemas[:1].tobytes() * cursor.count:
        raise ValueError("several schemas")
    items = cursor.array()
    if items > cursor.count:
        columns = cursor.wide_floats(items)
    else:
        columns = [cursor.numbers() for _ in range(items)]
    if cursor.at != cursor.length:
        raise ValueError("the array is not the end of the record")
    return Rows(cursor.count, schemas[0], steps, logged_at_ns, columns)


class _Cursor:
    """Goes through all records at once. Raises ValueError where they differ in their types."""

    def __init__(self, data: bytes, count: int) -> None:
        self.count = count
        self.length = len(data) // count
        self.at = 0
        self._data = data

    def head(self) -> int:
        """The next byte of the first record."""
        return self._data[self.at]

    def _take(self) -> bytes:
        """The next byte of each record."""
        self.at += 1
        return self._data[self.at - 1 :: self.length]

    def same(self) -> int:
        """The next byte, if it is the same in all records."""
        head, taken = self.head(), self._take()
        if taken.count(head) != self.count:
            raise ValueError("bytes differ")
        return head

    def _small(self) -> bytes:
        taken = self._take()
        if not taken.isascii():
            raise ValueError("not all are small integers")
        return taken

    def skip_integer(self) -> None:
        """Steps over an unsigned integer."""
        if self.head() < 0x80:
            self._small()
            return
        width = _WIDTHS.get(self.same(), self.length)
        self.at += width

    def integers(self) -> memoryview[int]:
        """An unsigned integer, below 2**63, of each record."""
        if self.head() < 0x80:
            small = bytearray(8 * self.count)
            small[::8] = self._small()
            return memoryview(small).cast("q")
        width = _WIDTHS.get(self.same())
        if width is None:
            raise ValueError("no unsigned integer")
        found = self._swapped(width)
        if width == 8 and not bytes(found[7::8]).isascii():
            raise ValueError("beyond int64")
        return found.cast("q")

    def _swapped(self, width: int) -> memoryview[int]:
        found = bytearray(8 * self.count)
        for place in reversed(range(width)):
            found[place::8] = self._take()
        return memoryview(found)

    def numbers(self) -> Numbers:
        """A float or an unsigned integer of each record."""
        if self.head() == _FLOAT64:
            self.same()
            return self._swapped(8).cast("d")
        return self.integers()

    def wide_floats(self, items: int) -> list[Numbers]:
        """So many floats of each record, taken row by row: there are more of them than records."""
        start, width = self.at, 9 * items
        self.at += width
        heads = bytes((_FLOAT64,)) * items
        found = bytearray(8 * items * self.count)
        for number in range(self.count):
            first = number * self.length + start
            row = self._data[first : first + width]
            if row[::9] != heads:
                raise ValueError("not all are floats")
            begin, end = 8 * items * number, 8 * items * (number + 1)
            for place in range(8):
                found[begin + place : end : 8] = row[8 - place :: 9]
        matrix = memoryview(found).cast("d")
        return [memoryview(matrix[item::items].tobytes()).cast("d") for item in range(items)]

    def array(self) -> int:
        """How many items the array has that begins here."""
        head = self.same()
        if 0x90 <= head <= 0x9F:
            return head & 0x0F
        if head not in (_ARRAY16, _ARRAY32):
            raise ValueError("no array")
        width = 2 if head == _ARRAY16 else 4
        count = int.from_bytes(bytes(self.same() for _ in range(width)), "big")
        if count > self.length:
            raise ValueError("more items than bytes")
        return count
