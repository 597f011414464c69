"""Rows of scalars of numpy and torch: converted in C, and exactly as by value."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expman.transport import conversions, values
from expman.transport.conversions import RowConversion
from expman.transport.schemas import MIXED, Schemas

INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.longlong, np.intc]
UNSIGNED = [np.uint8, np.uint16, np.uint32, np.uint64, np.ulonglong]
FLOATS = [np.float16, np.float32, np.float64, np.longdouble]
KINDS: list[Any] = [*INTEGERS, *UNSIGNED, *FLOATS, np.bool_]


def raw(values_: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(values_.values())


def shown(row: tuple[object, ...]) -> list[tuple[str, str]]:
    return [(type(value).__name__, repr(value)) for value in row]


def by_value(row: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(values.plain_row(row).values())


def edges(kind: Any) -> list[Any]:
    if kind is np.bool_:
        return [kind(False), kind(True)]
    if kind in FLOATS:
        about = np.finfo(kind)
        odd = [0.1, -0.0, math.inf, -math.inf, math.nan, about.tiny, about.max, about.min]
        return [kind(value) for value in odd]
    about = np.iinfo(kind)
    return [kind(value) for value in (0, 1, about.min, about.max, about.max - 1)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_type_of_numpy_is_exact(kind: Any) -> None:
    """A converted row has the types and the values that reading each value by itself gives."""
    rows = [{"a": value, "b": value} for value in edges(kind)]
    get = RowConversion(raw).learn(raw(rows[0]), by_value(rows[0]))
    assert get is not None

    for row in rows:
        assert shown(by_value(row)) == shown(get(row))


NUMBERS = st.one_of(
    st.floats(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.integers(0, 2**64 - 1).map(np.uint64),
    st.integers(-128, 127).map(np.int8),
    st.floats(width=32).map(np.float32),
    st.floats(width=16).map(np.float16),
    st.floats().map(np.float64),
    st.booleans().map(np.bool_),
)


@given(st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=1, max_size=12))
def test_any_sequence_of_rows_is_exact(rows: list[list[Any]]) -> None:
    """Whatever the types of the rows before, a row is converted exactly or not at all."""
    conversion, get = RowConversion(raw), None
    for cells in rows:
        row = dict(enumerate(cells))
        plain = tuple(values.plain_metric("key", cell) for cell in cells)
        try:
            found = None if get is None else get(row)  # type: ignore[arg-type]
        except (LookupError, TypeError):
            found = None
        if found is None:
            get = conversion.learn(cells, plain)
            assert get is not None
            found = get(row)  # type: ignore[arg-type]
        assert shown(plain) == shown(found)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_another_type_is_not_converted(kind: Any) -> None:
    """A row with a type that was not learned is refused, whatever number it stands for."""
    row = {"a": kind(1), "b": kind(2)}
    get = RowConversion(raw).learn(raw(row), by_value(row))
    assert get is not None

    for other in (1, True, "1", None, np.float16(1), np.array(1.0), np.ma.masked, [1.0], 1j):
        with pytest.raises((LookupError, TypeError)):
            get({"a": kind(1), "b": other})


@pytest.mark.parametrize(
    "value",
    [np.array(1.0), np.ma.masked, np.datetime64(1, "ns"), np.timedelta64(1, "ns"), np.str_("a")],
    ids=lambda value: type(value).__name__,
)
def test_other_values_are_not_learned(value: Any) -> None:
    """0-d arrays, masked values, times and text go today's way."""
    assert RowConversion(raw).learn([value], [1.0]) is None


def test_many_combinations_of_types_are_taken() -> None:
    """A set of names whose rows have ever other types does not learn for ever."""
    conversion = RowConversion(raw)
    kinds: list[Any] = [np.float32, np.float64, np.int8, np.int16, np.int64, np.uint64, float]
    row = {"a": np.float32(1)}
    for kind in kinds:
        row = {"a": kind(1)}
        get = conversion.learn(raw(row), by_value(row))
    assert get is not None

    for kind in kinds:
        assert shown(by_value({"a": kind(3)})) == shown(get({"a": kind(3)}))
    assert len(conversion._forms) == conversions.MOST_FORMS


def test_a_plain_int_beyond_64_bits_is_left_to_the_checks() -> None:
    """It becomes a float there; `struct` raises an error of its own."""
    row = {"a": 1, "b": np.float32(1)}
    get = RowConversion(raw).learn(raw(row), by_value(row))
    assert get is not None

    with pytest.raises(ValueError, match="beyond 64 bits"):
        get({"a": 2**63, "b": np.float32(1)})


def test_threads_that_change_the_types_in_turn_get_their_own() -> None:
    """The format and the types that it is for change together."""
    conversion = RowConversion(raw)
    rows: list[dict[str, Any]] = [{"a": np.int64(2**53 + 1)}, {"a": np.float64(0.5)}]
    for row in rows:
        get = conversion.learn(raw(row), by_value(row))
    assert get is not None
    wrong: list[object] = []

    def convert(row: dict[str, Any]) -> None:
        wrong.extend(found for _ in range(2000) if (found := get(row)) != by_value(row))

    threads = [threading.Thread(target=convert, args=(row,)) for row in rows * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == wrong


def test_a_row_of_numpy_and_others_goes_the_way_of_the_hook() -> None:
    """One value that is unknown here sends the whole row to the encoder's hook; later ones too."""
    schemas = Schemas()
    for row in ({"a": np.float32(1)}, {"a": np.array(1.5)}, {"a": np.float32(2)}):
        schema, plain, taking = schemas.read(row)
        taking = taking or schemas.learn(schema, row.values(), plain)

    assert taking is not None
    assert taking.codec is MIXED


class Tensor:
    """As much of one of torch as is looked at."""

    __module__ = "torch"

    def __init__(self, value: Any, ndim: int = 0, *, is_cpu: bool = True) -> None:
        self.value, self.ndim, self.is_cpu = value, ndim, is_cpu
        self.device = "cpu" if is_cpu else "cuda:0"
        self.shape = (1,) * ndim

    def item(self) -> Any:
        assert self.is_cpu, "this would wait for the device"
        if self.value is None:
            raise RuntimeError("no value")
        return self.value


@pytest.mark.parametrize("other", [0.5, np.int64(3)], ids=["float", "numpy"])
def test_tensors_are_read_where_they_are_on_the_cpu(other: Any) -> None:
    """Rows of tensors, alone or with others, are read; one of a device is refused unread."""
    conversion = RowConversion(raw)
    for row in ({"a": Tensor(1.5), "b": Tensor(2)}, {"a": Tensor(2.5), "b": other}):
        get = conversion.learn(raw(row), by_value(row))
        assert get is not None
        assert shown(by_value(row)) == shown(get(row))
        for odd in (Tensor(1.0, 1), Tensor(1.0, is_cpu=False), Tensor(None), np.array(1.0), "a"):
            with pytest.raises((TypeError, LookupError)):
                get({"a": odd, "b": other})


@pytest.mark.torch
def test_real_tensors_are_exact() -> None:
    """Tensors of each type, alone and beside a float; those with more numbers are refused."""
    import torch

    whole = [torch.int8, torch.uint8, torch.int32, torch.int64]
    broken = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
    for kind in [torch.bool, *whole, *broken]:
        for other in (torch.tensor(0.1, requires_grad=True), 0.1):
            row = {"a": torch.tensor(1.7).to(kind), "b": other}
            get = RowConversion(raw).learn(raw(row), by_value(row))
            assert get is not None
            assert shown(by_value(row)) == shown(get(row))
            for odd in (torch.ones(1), torch.tensor(1.0, device="meta")):
                with pytest.raises(TypeError):
                    get({"a": odd, "b": other})
