"""CRC-32C (Castagnoli), which Python's library lacks.

Byte by byte, Python takes 130 ns for each; this takes 25. Long data is cut into lanes of equal
length, and one step takes a byte of every lane: the tables are looked up by `bytes.translate`, and
the exclusive or is that of two large integers, both in C. Then the checksums of the lanes are
joined: shifting one by the bytes of a lane is linear, so four tables of 256 numbers do it.
"""

from __future__ import annotations

from functools import cache

__all__ = ["crc32c", "masked_crc32c"]

_POLYNOMIAL = 0x82F63B78
_ALL = 0xFFFFFFFF
_SHORT = 8192
"""Below, one byte after the other is faster."""
_LANE = 256


def crc32c(data: bytes) -> int:
    """The checksum of some bytes."""
    crc, start = _ALL, 0
    if len(data) >= _SHORT:
        lanes = len(data) // _LANE
        start = lanes * _LANE
        crc = _joined(crc, _of_lanes(data[:start], lanes))
    table = _table()
    for byte in data[start:] if start else data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ _ALL


def masked_crc32c(data: bytes) -> int:
    """The checksum as TFRecord files have it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & _ALL


def _of_lanes(data: bytes, lanes: int) -> list[int]:
    """For each lane the register that begins with 0 and takes the lane's bytes."""
    zero = bytes(lanes)
    registers = [zero] * 4  # byte 0 (the lowest) of all lanes, byte 1, …
    tables = _byte_tables()
    for place in range(_LANE):
        index = _xor(registers[0], data[place::_LANE], lanes)
        registers = [
            _xor(registers[number + 1] if number < 3 else zero, index.translate(table), lanes)
            for number, table in enumerate(tables)
        ]
    return [
        first | second << 8 | third << 16 | fourth << 24
        for first, second, third, fourth in zip(*registers, strict=True)
    ]


def _xor(one: bytes, other: bytes, length: int) -> bytes:
    both = int.from_bytes(one, "little") ^ int.from_bytes(other, "little")
    return both.to_bytes(length, "little")


def _joined(crc: int, registers: list[int]) -> int:
    first, second, third, fourth = _shift_tables()
    for register in registers:
        shifted = first[crc & 0xFF] ^ second[crc >> 8 & 0xFF]
        crc = shifted ^ third[crc >> 16 & 0xFF] ^ fourth[crc >> 24] ^ register
    return crc


@cache
def _table() -> list[int]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (_POLYNOMIAL if number & 1 else 0)
        table.append(number)
    return table


@cache
def _byte_tables() -> list[bytes]:
    return [bytes(entry >> shift & 0xFF for entry in _table()) for shift in (0, 8, 16, 24)]


@cache
def _shift_tables() -> list[list[int]]:
    """What a register becomes by as many zeros as a lane has bytes, by each of its bytes."""
    table = _table()
    of_bits = []
    for bit in range(32):
        crc = 1 << bit
        for _ in range(_LANE):
            crc = table[crc & 0xFF] ^ (crc >> 8)
        of_bits.append(crc)
    tables = []
    for first in range(0, 32, 8):
        row = []
        for byte in range(256):
            crc = 0
            for bit in range(8):
                crc ^= of_bits[first + bit] if byte >> bit & 1 else 0
            row.append(crc)
        tables.append(row)
    return tables
