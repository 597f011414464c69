"""Arrays made without pandas are those of pyarrow."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

from expman.reading.plain_arrays import float_array, int_array, text_array


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 100])
@pytest.mark.parametrize("gap", [2, 3, 1000])
def test_values_and_gaps(count: int, gap: int) -> None:
    """Null values at each place of a byte of the bitmap."""
    numbers = [None if place % gap == 1 else place for place in range(count)]
    texts = [None if one is None else "ä" * (one % 3) for one in numbers]
    for found, expected in (
        (int_array(numbers), pa.array(numbers, pa.int64())),
        (float_array(numbers), pa.array(numbers, pa.float64())),
        (text_array(texts), pa.array(texts, pa.string())),
    ):
        found.validate(full=True)
        assert expected.equals(found)


def test_values_at_the_edge() -> None:
    """NaN, infinities, what is too large, and text that is not UTF-8."""
    found = float_array([math.nan, math.inf, -0.0, 2**60]).to_pylist()
    assert ["nan", "inf", "-0.0", str(float(2**60))] == list(map(str, found))
    with pytest.raises(OverflowError):
        int_array([2**63])
    with pytest.raises(OverflowError):
        float_array([10**400])
    assert ["a\\udc80"] == text_array(["a\udc80"]).to_pylist()
