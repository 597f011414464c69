"""How long a value is, against msgspec's encoder and the specification's table."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expman.transport.msgpack_walk import value_end

EXT = msgspec.msgpack.Ext

VALUES: list[Any] = [
    *(None, True, False, 0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1),
    *(-1, -32, -33, -128, -129, -32_768, -32_769, -(2**31), -(2**31) - 1, -(2**63), 0.5),
    *("x" * length for length in (0, 1, 31, 32, 255, 256, 65_535, 65_536)),
    *(b"x" * length for length in (0, 255, 256, 65_535, 65_536)),
    *([1] * length for length in (0, 1, 15, 16, 65_535, 65_536)),
    *({str(n): n for n in range(length)} for length in (0, 1, 15, 16, 65_536)),
    *(EXT(5, b"x" * length) for length in (0, 1, 2, 3, 4, 8, 16, 17, 255, 256, 65_535, 65_536)),
    datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    [[[{"a": [EXT(1, b"")]}]], [], {}],
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}")
def test_the_end_of_every_format(value: Any) -> None:
    """Found in front of other bytes; cut off at any place near its end it is no value."""
    payload = msgspec.msgpack.encode(value)

    assert 3 + len(payload) == value_end(b"abc" + payload + b"\x01\x02", 3)
    for missing in range(1, min(len(payload), 20) + 1):
        with pytest.raises(ValueError, match="cut off"):
            value_end(payload[:-missing], 0)


def test_floats_of_32_bits() -> None:
    """msgspec never writes them, the format has them."""
    assert 5 == value_end(b"\xca\x3f\x80\x00\x00", 0)


def test_the_byte_that_begins_nothing() -> None:
    """0xc1 is never used."""
    with pytest.raises(ValueError, match="0xc1 at 1"):
        value_end(b"\x91\xc1", 0)


def test_a_huge_count_ends_at_once() -> None:
    """A container that claims more items than there are bytes is cut off, not allocated."""
    for head in (b"\xdd", b"\xdf"):
        with pytest.raises(ValueError, match="cut off"):
            value_end(head + b"\xff" * 4 + b"\x01" * 8, 0)


def test_nesting_takes_no_stack() -> None:
    """Depth is counted, not recursed into."""
    assert 100_001 == value_end(b"\x91" * 100_000 + b"\x01", 0)


@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    """Whatever the bytes: an end inside them, or ValueError."""
    try:
        end = value_end(data, 0)
    except ValueError:
        return
    assert 0 < end <= len(data)


_JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_JSONISH, st.binary(max_size=5))
def test_arbitrary_values(value: Any, behind: bytes) -> None:
    """msgspec's encoder and the walk agree."""
    payload = msgspec.msgpack.encode(value)

    assert len(payload) == value_end(payload + behind, 0)
