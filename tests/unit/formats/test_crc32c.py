"""CRC-32C: known values, and long data by lanes as byte by byte."""

from __future__ import annotations

import random

import pytest

from expman.formats import crc32c as module
from expman.formats.crc32c import crc32c


def test_known_values() -> None:
    """The check value of the catalogue of CRCs, and those of RFC 3720, B.4."""
    assert 0xE3069283 == crc32c(b"123456789")
    assert 0x8A9136AA == crc32c(bytes(32))
    assert 0x62A8AB43 == crc32c(b"\xff" * 32)
    assert 0x46DD794E == crc32c(bytes(range(32)))


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 8191, 8192, 8193, 70_001])
def test_lanes_give_the_same(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the data is."""
    data = random.Random(length).randbytes(length)
    found = crc32c(data)
    monkeypatch.setattr(module, "_SHORT", 10**9)
    assert found == crc32c(data)
