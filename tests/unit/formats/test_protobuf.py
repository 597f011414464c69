"""Messages of Protocol Buffers: what is encoded is decoded, and damage is said."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from expman.formats.damage import DamagedError
from expman.formats.protobuf import (
    bytes_field,
    decode,
    double_field,
    int_field,
    packed_doubles,
)


def test_fields() -> None:
    """Each kind of field, several values of one, negative integers, and fields that are absent."""
    data = int_field(1, -5) + int_field(200, 2**63) + double_field(3, 0.5) + bytes_field(4, "ä")
    data += bytes_field(4, b"\xff") + packed_doubles(6, [1.0, -2.0]) + double_field(6, 3.0)
    message = decode(data)
    assert (-5, 2**63, 0.5) == (message.signed(1), message.uint(200), message.double(3))
    assert ["ä", "\ufffd"] == message.texts(4)
    assert [1.0, -2.0, 3.0] == message.doubles(6)
    absent = (message.signed(9), message.single(9), message.text(9), message.message(9))
    assert (0, 0.0, "", {}) == absent
    assert (0.0, b"") == (message.double(1), message.blob(1))


@pytest.mark.parametrize(
    "data", [b"\x0a\x05ab", b"\x08", b"\x08" + b"\xff" * 11, b"\x0b", b"\x00\x01", b"\x09abc"]
)
def test_damage(data: bytes) -> None:
    """Fields that are cut off, endless integers, groups, and field 0."""
    with pytest.raises(DamagedError):
        decode(data)


def test_any_bytes() -> None:
    """Nothing else is raised, whatever the bytes are."""
    generator = random.Random(1)
    for _ in range(3000):
        with suppress(DamagedError):
            message = decode(generator.randbytes(generator.randrange(40)))
            for number in message:
                message.text(number)
                message.uints(number)
                message.doubles(number)
