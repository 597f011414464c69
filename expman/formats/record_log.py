"""LevelDB's log format, as wandb's `.wandb` files have it.

A file is blocks of 32 KiB. A fragment is the checksum of type and data, the length, the type, and
the data; no header of a fragment spans two blocks (LevelDB, "log_format.md"). wandb begins with a
header of its own, which counts for the first block, and its checksum is the plain CRC-32.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from expman.formats.damage import DamagedError

__all__ = ["CUT_OFF", "DAMAGED", "log_file", "read_log"]

_BLOCK = 32 * 1024
_HEAD = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_MAGIC = b":W&B"
_MARK = 0xBEE1
_MOST_BYTES = 1 << 30
DAMAGED = "damaged records"
CUT_OFF = "bytes of a record that is cut off"


def read_log(file: BinaryIO, left_out: Counter[str]) -> Iterator[bytes]:
    """Yields whole records. After damage it goes on with the next block.

    Args:
        file: at its beginning.
        left_out: gets the number of damaged records, and of bytes that are in no record.

    Raises:
        DamagedError: it is not such a file.
    """
    block = file.read(_BLOCK)
    head = struct.pack("<4sHB", _MAGIC, _MARK, 0)
    if not block.startswith(_MAGIC) or block[:7] != head:
        raise DamagedError("it does not begin as a .wandb file of version 0 does")
    begun: list[bytes] | None = None  # fragments of a record
    at = len(head)
    while block:
        for kind, data in _fragments(block, at):
            if kind in (_FULL, _FIRST):
                if begun is not None:
                    left_out[DAMAGED] += 1
                begun = [data]
            elif begun is not None and kind in (_MIDDLE, _LAST):
                begun.append(data)
            else:
                left_out[DAMAGED] += kind != _CUT
                left_out[CUT_OFF] += len(data) if kind == _CUT else 0
                begun = None
            if begun is not None and kind in (_FULL, _LAST):
                yield b"".join(begun)
                begun = None
            elif begun is not None and sum(map(len, begun)) > _MOST_BYTES:
                raise DamagedError("a record is longer than 1 GiB")
        block, at = file.read(_BLOCK), 0
    if begun is not None:
        left_out[CUT_OFF] += sum(map(len, begun))
    for kind_of_loss in (DAMAGED, CUT_OFF):
        if not left_out[kind_of_loss]:
            del left_out[kind_of_loss]


_CUT, _BAD = -1, -2


def _fragments(block: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Types and data of a block's fragments; _CUT with what is cut off, _BAD for damage."""
    while at + _HEAD.size <= len(block):
        check, length, kind = _HEAD.unpack_from(block, at)
        if not check and not length and not kind:
            return  # zeros that were reserved
        data = block[at + _HEAD.size : at + _HEAD.size + length]
        if len(data) < length:
            yield (_CUT if len(block) < _BLOCK else _BAD), block[at:]
            return
        if zlib.crc32(data, zlib.crc32(bytes([kind]))) != check or not _FULL <= kind <= _LAST:
            yield _BAD, data
            return  # where the next one begins is not known
        yield kind, data
        at += _HEAD.size + length
    if len(block) < _BLOCK and at < len(block):
        yield _CUT, block[at:]


def log_file(records: list[bytes]) -> bytes:
    """A file with these records; tests make some."""
    made = bytearray(struct.pack("<4sHB", _MAGIC, _MARK, 0))
    for record in records:
        rest, is_first = record, True
        while is_first or rest:
            room = _BLOCK - len(made) % _BLOCK
            if room < _HEAD.size:
                made += bytes(room)
                room = _BLOCK
            data, rest = rest[: room - _HEAD.size], rest[room - _HEAD.size :]
            kind = (_FULL if not rest else _FIRST) if is_first else _MIDDLE if rest else _LAST
            made += _HEAD.pack(zlib.crc32(data, zlib.crc32(bytes([kind]))), len(data), kind) + data
            is_first = False
    return bytes(made)
