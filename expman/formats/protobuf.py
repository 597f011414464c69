"""Protocol Buffers without their schemas: fields by number, as far as importers need them.

Source: "Encoding", the documentation of Protocol Buffers. Groups, which nobody writes any more, are
refused as damage.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from expman.formats.damage import DamagedError

__all__ = ["Message", "bytes_field", "decode", "double_field", "int_field", "packed_doubles"]

_DOUBLE = struct.Struct("<d")
_FLOAT = struct.Struct("<f")


class Message(dict[int, "list[int | bytes]"]):
    """A message that was decoded: all values of each field, in order.

    A varint is an int without sign; everything else is bytes. The methods interpret them; a field
    that is absent is 0, empty, or an empty message, and one of another kind counts as absent.
    """

    def uint(self, number: int) -> int:
        """An unsigned integer, an enum, or a bool."""
        value = self.get(number, (0,))[-1]
        return value if isinstance(value, int) else 0

    def signed(self, number: int) -> int:
        """A signed integer of 64 bits: int32 or int64."""
        value = self.uint(number)
        return value - 2**64 if value >= 2**63 else value

    def double(self, number: int) -> float:
        """A float of 64 bits."""
        value = self.blob(number)
        return float(_DOUBLE.unpack(value)[0]) if len(value) == 8 else 0.0

    def single(self, number: int) -> float:
        """A float of 32 bits."""
        value = self.blob(number)
        return float(_FLOAT.unpack(value)[0]) if len(value) == 4 else 0.0

    def blob(self, number: int) -> bytes:
        """Bytes as they are."""
        value = self.get(number, (b"",))[-1]
        return value if isinstance(value, bytes) else b""

    def blobs(self, number: int) -> list[bytes]:
        """All values of a repeated field of bytes or texts."""
        return [value for value in self.get(number, ()) if isinstance(value, bytes)]

    def text(self, number: int) -> str:
        """A text; what is not UTF-8 is replaced."""
        return self.blob(number).decode("utf-8", "replace")

    def texts(self, number: int) -> list[str]:
        """All values of a repeated text."""
        return [value.decode("utf-8", "replace") for value in self.blobs(number)]

    def message(self, number: int) -> Message:
        """A message inside this one."""
        return decode(self.blob(number))

    def messages(self, number: int) -> list[Message]:
        """All values of a repeated message."""
        return [decode(value) for value in self.blobs(number)]

    def uints(self, number: int) -> list[int]:
        """A repeated integer, packed or not."""
        found: list[int] = []
        for value in self.get(number, ()):
            if isinstance(value, int):
                found.append(value)
                continue
            at = 0
            while at < len(value):
                one, at = _varint(value, at)
                found.append(one)
        return found

    def ints(self, number: int) -> list[int]:
        """A repeated integer with a sign, packed or not."""
        return [value - 2**64 if value >= 2**63 else value for value in self.uints(number)]

    def doubles(self, number: int) -> list[float]:
        """A repeated double, packed or not."""
        return self._numbers(number, "d", 8)

    def floats(self, number: int) -> list[float]:
        """A repeated float, packed or not."""
        return self._numbers(number, "f", 4)

    def _numbers(self, number: int, code: str, size: int) -> list[float]:
        data = b"".join(self.blobs(number))
        if len(data) % size:
            raise DamagedError(f"field {number} has {len(data)} bytes, not a multiple of {size}")
        return list(struct.unpack(f"<{len(data) // size}{code}", data))


def decode(data: bytes) -> Message:
    """Decodes one message; not the messages inside it.

    Raises:
        DamagedError: the bytes are not a message.
    """
    message, at, end = Message(), 0, len(data)
    while at < end:
        key = data[at]
        at += 1
        if key > 127:
            key, at = _varint(data, at - 1)
        kind = key & 7
        value: int | bytes
        if kind == 2:
            length, at = _varint(data, at)
            value = data[at : at + length]
            at += length
        elif kind == 0:
            value, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            value = data[at : at + length]
            at += length
        else:
            raise DamagedError(f"a field of wire type {kind}")
        if at > end or key < 8:
            raise DamagedError("a field is cut off" if key >= 8 else "a field has the number 0")
        message.setdefault(key >> 3, []).append(value)
    return message


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A varint and where the next byte is."""
    value, shift = 0, 0
    try:
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 128:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
            if shift > 63:
                raise DamagedError("an integer has more than 10 bytes")
    except IndexError:
        raise DamagedError("an integer is cut off") from None


# -- encoding -------------------------------------------------------------------------------------


def _encoded(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    found = bytearray()
    while value > 127:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def int_field(number: int, value: int) -> bytes:
    """A field with an integer, an enum or a bool."""
    return _encoded(number << 3) + _encoded(value)


def bytes_field(number: int, value: bytes | str) -> bytes:
    """A field with bytes, a text, or an encoded message."""
    data = value.encode("utf-8", "backslashreplace") if isinstance(value, str) else value
    return _encoded(number << 3 | 2) + _encoded(len(data)) + data


def double_field(number: int, value: float) -> bytes:
    """A field with a float of 64 bits."""
    return _encoded(number << 3 | 1) + _DOUBLE.pack(value)


def packed_doubles(number: int, values: Iterable[float]) -> bytes:
    """A field with several floats of 64 bits."""
    return bytes_field(number, b"".join(map(_DOUBLE.pack, values)))
