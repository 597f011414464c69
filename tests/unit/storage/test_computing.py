"""Arrow's functions by their names."""

from __future__ import annotations

import pyarrow as pa
import pytest

from expman.storage import computing


@pytest.mark.parametrize("first", [0, 7, 2**62])
@pytest.mark.parametrize("length", [1, 2, 511, 512, 513, 65_535, 65_536, 65_537, 200_000])
def test_count_from(first: int, length: int) -> None:
    """Numbers follow each other, however many there are and wherever they begin."""
    found = computing.count_from(first, length)
    found.validate(full=True)
    assert pa.int64() == found.type
    assert length == len(found)
    assert 0 == found.null_count
    assert [first, first + length - 1] == [found[0].as_py(), found[-1].as_py()]
    assert pa.array(range(first, first + length), pa.int64()) == found


def test_functions() -> None:
    """The functions that the writer calls are there without `pyarrow.compute`, nulls left out."""
    values = pa.chunked_array([[2.0, None], [float("inf"), 2.0]])
    call = computing.call_function
    assert 2 == call("count_distinct", [values]).as_py()
    assert [True, None, False, True] == call("is_finite", [values]).to_pylist()
    assert 2 == call("index", [values], computing.IndexOptions(pa.scalar(float("inf")))).as_py()
    assert float("inf") == call("sum", [values]).as_py()
    assert [-1, 1] == call("divide", [pa.array([-1999, 1999]), pa.scalar(1000)]).to_pylist()
    assert {"min": 2.0, "max": float("inf")} == computing.get_function("min_max").call(
        [values]
    ).as_py()
