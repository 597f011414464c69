"""Rows that are decoded all at once are those that msgspec decodes one by one."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lanes import singly

from expman.transport import encoding
from expman.transport import records as wire
from expman.transport.bulk_decode import (
    LEAST_ROWS,
    LEAST_WIDE_ROWS,
    Rows,
    decode_batch,
    decode_rows,
)

NOW = 1_769_860_800_123_456_789
ROWS = 100


def encode_rows(
    rows: list[tuple[Any, ...]], steps: Any = None, first: int = 300, schema: int = 0
) -> list[bytes]:
    steps = steps or [None] * len(rows)
    return [
        encoding.encode((encoding.VECTOR, first + number, NOW + number, step, schema, row))
        for number, (row, step) in enumerate(zip(rows, steps, strict=False))
    ]


def bits(value: Any) -> Any:
    """NaN and -0.0 are told apart, too."""
    return struct.pack("<d", value) if isinstance(value, float) else value


def plain(records: list[wire.Record | Rows]) -> list[Any]:
    """What matters of each record: all but its ordinal."""
    return [
        (type(one), one.logged_at_ns, one.step, one.schema, [*map(bits, one.values)])
        if isinstance(one, wire.Vector)
        else one
        for one in singly(records)
    ]


def check(encoded: list[bytes]) -> list[wire.Record | Rows]:
    """Both ways lead to the same rows."""
    found = decode_batch(b"".join(encoded), [*map(len, encoded)])
    expected = wire.decode_many(b"".join(encoded), len(encoded))
    assert plain(expected) == plain(found)
    return found


@pytest.mark.parametrize("first_step", [None, 0, 1000, 70_000, 2**40])
@pytest.mark.parametrize("metrics", [1, 2, 15, 16, 120], ids=lambda one: f"{one} metrics")
def test_rows_of_floats(metrics: int, first_step: int | None) -> None:
    """Whatever the steps are, and however many columns there are."""
    values = [tuple(row + 0.5 * item for item in range(metrics)) for row in range(ROWS)]
    steps = None if first_step is None else range(first_step, first_step + ROWS)
    encoded = encode_rows(values, steps)

    assert any(isinstance(record, Rows) for record in check(encoded))


def test_very_many_floats() -> None:
    """More than the shorter headers of arrays can count."""
    rows = LEAST_WIDE_ROWS
    values = [tuple(row + 0.5 * item for item in range(70_000)) for row in range(rows)]

    (found,) = check(encode_rows(values))

    assert isinstance(found, Rows)


def test_all_floats_keep_their_bits() -> None:
    """Also those that are no numbers."""
    odd = [math.nan, -math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308]
    (rows,) = check(encode_rows([(odd[row % 7], 1.0) for row in range(ROWS)]))

    assert isinstance(rows, Rows)


@pytest.mark.parametrize("number", [0, 127, 128, 255, 256, 65_535, 65_536, 2**32, 2**63 - 1])
def test_integers_beside_floats(number: int) -> None:
    """Of each width."""
    (rows,) = check(encode_rows([(0.5, number, 1.5)] * ROWS))

    assert isinstance(rows, Rows)
    assert ["d", "q", "d"] == [column.format for column in rows.columns]


@pytest.mark.parametrize(
    "rows",
    [
        [(0.5, True)] * ROWS,
        [(0.5, "text")] * ROWS,
        [(2**63,)] * ROWS,
        [(-1,)] * ROWS,
        [(0.5,)] * (ROWS - 1) + [(2**62,)],
        [(1,)] * (ROWS - 1) + [(True,)],
        [(1,)] * (ROWS - 1) + [(-1,)],
        [(0.5,) * 200] * (ROWS - 1) + [(0.5,) * 199 + (2**62,)],
    ],
    ids=["bool", "text", "uint64", "negative", "mixed", "a bool", "a negative", "wide"],
)
def test_rows_that_are_not_that_simple(rows: list[tuple[Any, ...]]) -> None:
    """They are left to msgspec, as a whole."""
    assert not any(isinstance(record, Rows) for record in check(encode_rows(rows)))


def test_several_schemas() -> None:
    """Rows of equal length under different names do not become one table."""
    encoded = encode_rows([(0.5,)] * ROWS)
    encoded[-1:] = encode_rows([(0.5,)], schema=1)

    assert not any(isinstance(record, Rows) for record in check(encoded))


def test_other_records_in_between() -> None:
    """Rows before, between and behind other records keep their places."""
    schema = encoding.encode((encoding.SCHEMA, 0, NOW, 0, ("loss",)))
    few = encode_rows([(0.5,)] * (LEAST_ROWS - 1), first=1)
    many = encode_rows([(0.5,)] * ROWS, first=300)
    line = encoding.encode((encoding.LOG, 500, NOW, "INFO", "x" * 50))

    found = check([schema, *few, line, *many, line, *few, schema])

    assert 1 == sum(isinstance(record, Rows) for record in found)
    assert [] == check([])


@given(
    data=st.lists(
        st.tuples(
            st.lists(st.sampled_from([0.5, -1.5, 3, 200, 70_000, True, "ab"]), max_size=4),
            st.sampled_from([None, 5, 300, 2**33]),
            st.sampled_from([1, 63, 64, 65, 130]),
            st.integers(0, 400),
        ),
        max_size=8,
    )
)
@settings(max_examples=200, deadline=None)
def test_any_mixture(data: list[tuple[list[Any], Any, int, int]]) -> None:
    """Batches of any rows, ordinals across all widths."""
    encoded = []
    for values, step, times, first in data:
        encoded += encode_rows([tuple(values)] * times, [step] * times, first)
    check(encoded)


@given(st.integers(0, 10**9), st.integers(0, 255))
@settings(max_examples=500, deadline=None)
def test_a_damaged_byte(place: int, byte: int) -> None:
    """Bytes that msgspec refuses, or takes for something else, are never taken for rows."""
    encoded = encode_rows([(row + 0.5, row) for row in range(ROWS, 2 * ROWS)], [*range(ROWS)])
    data = bytearray(b"".join(encoded))
    data[place % len(data)] = byte
    rows = decode_rows(bytes(data), ROWS)
    if rows is not None:
        assert plain(wire.decode_many(data, ROWS)) == plain([rows])
