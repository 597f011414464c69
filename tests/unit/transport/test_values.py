"""What can be logged, and what is said about the rest."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from expman.transport import values


class Level(enum.Enum):
    LOW = "low"
    HIGH = 2.5
    ODD = (1, 2)


class Number(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    YES = "yes"


class MyFloat(float):
    pass


class MyInt(int):
    def __str__(self) -> str:
        return "not a number"


class MyStr(str):
    def __str__(self) -> str:
        return "something else"


class FakeTensor:
    """As much of a tensor as is looked at."""

    def __init__(self, value: Any, *, ndim: int = 0, device: str = "cpu") -> None:
        self.value = value
        self.ndim = ndim
        self.device = SimpleNamespace(type=device)

    def __repr__(self) -> str:  # names a test, the same in each process
        return f"FakeTensor({self.value!r})"

    def item(self) -> Any:
        assert self.device.type == "cpu", "this would wait for the device"
        return self.value


HUGE = [10**400, -(10**400)]


@pytest.mark.parametrize("value", HUGE, ids=["plus", "minus"])
def test_an_int_beyond_all_floats_is_refused(value: int) -> None:
    """It would become infinite without a word; the error names the key."""
    with pytest.raises(ValueError, match="metric 'loss': an int of 1329 bits is larger"):
        values.plain_metric("loss", value)


ACCEPTED: list[tuple[Any, Any]] = [
    (0.5, 0.5),
    (math.inf, math.inf),
    (-0.0, -0.0),
    (7, 7),
    (-(2**63), -(2**63)),
    (2**63, 2**63),
    (2**64 - 1, 2**64 - 1),
    (2**64, 2.0**64),
    (-(2**63) - 1, -(2.0**63)),
    (True, True),
    ("", ""),
    ("ä", "ä"),
    (MyFloat(1.5), 1.5),
    (MyInt(3), 3),
    (MyStr("text"), "text"),
    (Level.LOW, "low"),
    (Level.HIGH, 2.5),
    (Number.ONE, 1),
    (Word.YES, "yes"),
    (np.float16(0.5), 0.5),
    (np.float32(0.5), 0.5),
    (np.float64(0.5), 0.5),
    (np.longdouble(0.5), 0.5),
    (np.int8(-1), -1),
    (np.int64(2**62), 2**62),
    (np.uint64(2**64 - 1), 2**64 - 1),
    (np.bool_(True), True),
    (np.str_("text"), "text"),
    (np.array(1.5), 1.5),
    (np.array(2), 2),
    (np.array(True), True),
    (FakeTensor(1.5), 1.5),
    (FakeTensor(3), 3),
    (decimal.Decimal("1.5"), 1.5),
]


@pytest.mark.parametrize(("value", "expected"), ACCEPTED, ids=lambda one: type(one).__name__)
def test_metrics_by_value(value: Any, expected: Any) -> None:
    """Each becomes a plain float, int, bool or str of exactly that type."""
    plain = values.plain_metric("key", value)

    assert (type(expected), repr(expected)) == (type(plain), repr(plain))


def test_nan_is_a_value() -> None:
    """A NaN stays one, numpy's as well; what is masked, the mean over nothing, is one."""
    masked = [np.ma.masked, np.ma.array(1.0, mask=True), np.ma.array([3, 4], mask=True).mean()]
    for nan in (math.nan, np.float32("nan"), np.array(np.nan), *masked):
        plain = values.plain_metric("key", nan)
        assert isinstance(plain, float)
        assert math.isnan(plain)


class OfTensorflow:
    """As much of an EagerTensor as is looked at: it has no item()."""

    ndim = 0

    def __init__(self, device: str) -> None:
        self.device = f"/job:localhost/replica:0/task:0/device:{device}:0"

    def numpy(self) -> Any:
        return np.float32(0.5)


class OfCupy(FakeTensor):
    """Its device has a number, and nothing else that is looked at."""

    def __init__(self) -> None:
        super().__init__(0.5)
        self.device = SimpleNamespace(id=0)


class OfMlx:
    """It has no device: memory is shared."""

    ndim = 0

    def item(self) -> float:
        return 0.5


def test_one_protocol_for_all_libraries() -> None:
    """No dimensions, on the CPU, and item() or numpy()."""
    for value in (OfTensorflow("CPU"), OfMlx()):
        assert 0.5 == values.plain_metric("key", value)
    for value in (OfTensorflow("GPU"), OfCupy()):
        with pytest.raises(TypeError, match=r"call .item\(\) on it \(this waits for the device\)"):
            values.plain_metric("key", value)


def test_jax() -> None:
    """Its arrays on the CPU, bfloat16 and one-element ones too."""
    jnp = pytest.importorskip("jax.numpy")
    found = [
        values.plain_metric("key", one)
        for one in (jnp.float32(0.5), jnp.array(2), jnp.array(True), jnp.bfloat16(1.5))
    ]
    assert [0.5, 2, True, 1.5] == found
    assert 7 == values.plain_step(jnp.array(7))
    with pytest.raises(TypeError, match=r"shape \(1,\): call .item\(\) on it"):
        values.plain_metric("key", jnp.ones(1))


def test_ml_dtypes() -> None:
    """Numbers for which Python has no type."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    numbers = (ml_dtypes.bfloat16(2.5), ml_dtypes.int4(3))
    found = [values.plain_metric("key", one) for one in numbers]
    assert [(float, 2.5), (int, 3)] == [(type(one), one) for one in found]


class ReadsBadly(FakeTensor):
    def item(self) -> Any:
        raise self.value


def test_a_value_that_cannot_be_read() -> None:
    """TypeError with what it raised; a timeout of a signal handler passes."""
    with pytest.raises(TypeError, match=r"metric 'loss': .* cannot be read: RuntimeError\('no'\)"):
        values.plain_metric("loss", ReadsBadly(RuntimeError("no")))
    with pytest.raises(TimeoutError):
        values.plain_metric("loss", ReadsBadly(TimeoutError()))


REFUSED: list[tuple[Any, str]] = [
    (None, "None;"),
    (b"bytes", "bytes"),
    ([1.0], "list"),
    ((1.0,), "tuple"),
    ({"a": 1}, "dict"),
    ({1}, "set"),
    (1j, "complex"),
    (fractions.Fraction(1, 2), "fractions.Fraction"),
    (datetime.date(2026, 1, 1), "datetime.date"),
    (datetime.timedelta(1), "datetime.timedelta"),
    (object(), "object"),
    (np.array([1.5]), r"numpy.ndarray of shape \(1,\): call .item\(\) on it"),
    (np.array([[1.5]]), r"shape \(1, 1\): call .item\(\) on it"),
    (np.array([1.5, 2.5]), "numpy.ndarray, which is not a scalar"),
    (np.array([]), "numpy.ndarray"),
    (np.complex128(1), "numpy.complex128"),
    (np.datetime64("2026-01-01"), "numpy.datetime64"),
    (np.bytes_(b"x"), "numpy.bytes_"),
    (Level.ODD, "tuple"),
    (FakeTensor(1.5, ndim=1), "FakeTensor"),
    (FakeTensor(1.5, device="cuda"), r"on .*cuda.*\.item\(\)"),
    (FakeTensor(1j), "holds a value of type complex"),
    (int, "type"),
    (len, "builtin_function_or_method"),
]


@pytest.mark.parametrize(("value", "text"), REFUSED, ids=lambda one: type(one).__name__)
def test_refused_metrics_name_key_and_type(value: Any, text: str) -> None:
    """TypeError, with the key, the type and what would be accepted; no device is waited for."""
    with pytest.raises(TypeError, match=rf"metric 'loss': .*{text}.*expected a float"):
        values.plain_metric("loss", value)


def test_lone_surrogates_are_written_out() -> None:
    """They come from file names that are no UTF-8, and have no encoding."""
    assert {"k\\udcff": "v\\udc80"} == values.plain_row({"k\udcff": "v\udc80"})


@pytest.mark.parametrize("key", [1, None, b"loss", ("a",), Level.LOW])
def test_keys_must_be_text(key: Any) -> None:
    """TypeError, naming the key and its type."""
    with pytest.raises(TypeError, match=f"is .*{type(key).__name__}, not text"):
        values.plain_row({key: 1.0})


@pytest.mark.parametrize("key", ["", *sorted(values.RESERVED_COLUMNS)])
def test_keys_that_are_taken(key: str) -> None:
    """ValueError for the empty name and for each column of ours."""
    with pytest.raises(ValueError, match="metric name"):
        values.plain_row({key: 1.0})


def test_a_key_of_a_subclass_is_plain_text() -> None:
    """Its own __str__ has no say."""
    (key,) = values.plain_row({MyStr("loss"): 1.0})

    assert (str, "loss") == (type(key), key)


def test_a_name_that_is_there_twice() -> None:
    """Two texts that UTF-8 cannot hold have one escape."""
    with pytest.raises(ValueError, match="is there twice"):
        values.plain_row({"\udc80": 1.0, "\\udc80": 2.0})


def test_any_mapping_is_a_row() -> None:
    """Order is kept; what is no mapping is refused."""

    class Odd(Mapping[str, float]):
        def __getitem__(self, key: str) -> float:
            return len(key)

        def __iter__(self) -> Iterator[str]:
            return iter(["ccc", "a"])

        def __len__(self) -> int:
            return 2

    assert [("ccc", 3), ("a", 1)] == list(values.plain_row(Odd()).items())
    assert {"a": 1} == values.plain_row(OrderedDict(a=1))
    for wrong in ([("a", 1)], None, "a", 1):
        with pytest.raises(TypeError, match="takes a mapping"):
            values.plain_row(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (None, None),
        (0, 0),
        (-5, -5),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (3.0, 3),
        (MyInt(4), 4),
        (np.int64(5), 5),
        (np.float32(6.0), 6),
        (np.array(7), 7),
        (FakeTensor(8), 8),
        (Number.ONE, 1),
    ],
    ids=repr,
)
def test_steps(step: Any, expected: int | None) -> None:
    """Whole numbers of any kind become plain integers."""
    plain = values.plain_step(step)

    assert expected == plain
    assert type(plain) in (int, type(None))


@pytest.mark.parametrize(
    "step",
    [1.5, math.nan, math.inf, "7", [1], np.array([1]), 1j, True, np.True_, np.ma.masked],
)
def test_steps_that_are_no_whole_numbers(step: Any) -> None:
    """TypeError, naming the step."""
    with pytest.raises(TypeError, match="not a whole number"):
        values.plain_step(step)


@pytest.mark.parametrize("step", [2**63, -(2**63) - 1, 1e300])
def test_steps_beyond_64_bits(step: Any) -> None:
    """ValueError: a step is an int64."""
    with pytest.raises(ValueError, match="does not fit into 64 bits"):
        values.plain_step(step)
