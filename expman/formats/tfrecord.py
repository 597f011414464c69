"""TFRecord files: TensorBoard's event files among them.

A record is its length, the checksum of the length, the payload, the checksum of the payload
(TensorFlow, "record_writer.h"). The checksums are masked CRC-32C.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO

from expman.formats.crc32c import masked_crc32c

__all__ = ["CUT_OFF", "DAMAGED", "UNREACHABLE", "read_tfrecords", "tfrecord"]

_HEAD = struct.Struct("<QI")
DAMAGED = "damaged records"
CUT_OFF = "bytes of a record that is cut off"
UNREACHABLE = "bytes behind a damaged length"


def read_tfrecords(file: BinaryIO, left_out: Counter[str]) -> Iterator[bytes]:
    """Yields the payloads of whole records.

    Args:
        file: at its beginning.
        left_out: gets the number of damaged records, and of bytes that are in no record.
    """
    size = os.fstat(file.fileno()).st_size
    at = 0
    while head := file.read(_HEAD.size):
        if len(head) < _HEAD.size:
            left_out[CUT_OFF] += len(head)
            return
        length, check = _HEAD.unpack(head)
        if _crc_of_length(head[:8]) != check:
            # It is not known where the next record begins.
            left_out[UNREACHABLE] += size - at
            return
        at += _HEAD.size + length + 4
        if at > size:
            left_out[CUT_OFF] += size - at + _HEAD.size + length + 4
            return
        payload, check_bytes = file.read(length), file.read(4)
        if len(check_bytes) < 4:  # somebody has cut the file just now
            left_out[CUT_OFF] += _HEAD.size + len(payload) + len(check_bytes)
            return
        if masked_crc32c(payload) == int.from_bytes(check_bytes, "little"):
            yield payload
        else:
            left_out[DAMAGED] += 1


@lru_cache(4096)
def _crc_of_length(data: bytes) -> int:
    """Lengths repeat, as do the records that a training loop writes."""
    return masked_crc32c(data)


def tfrecord(payload: bytes) -> bytes:
    """A record with this payload."""
    length = struct.pack("<Q", len(payload))
    checks = [struct.pack("<I", masked_crc32c(part)) for part in (length, payload)]
    return length + checks[0] + payload + checks[1]
