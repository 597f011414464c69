"""Parameters: what keeps its structure, what becomes text with a note, and what raises."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import types
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from zoneinfo import ZoneInfo

import attr
import msgspec
import numpy as np
import pandas as pd
import pytest

from expman.models import MAX_NESTING
from expman.transport import encoding, params
from expman.transport import records as wire


class Level(enum.Enum):
    LOW = "low"
    HIGH = 2.5


@dataclasses.dataclass
class Optimizer:
    lr: float = 0.1
    betas: tuple[float, ...] = (0.9, 0.99)
    schedule: Any = None
    kind: ClassVar[str] = "adam"
    seed: dataclasses.InitVar[int] = 3
    late: int = dataclasses.field(init=False, repr=False)

    def __post_init__(self, seed: int) -> None:
        self.other = seed


class Settings(msgspec.Struct):
    path: Path = Path("/data")
    level: Level = Level.LOW


@attr.s(auto_attribs=True)
class Data:
    path: str = "d"
    _batch: int = 32


class Point(NamedTuple):
    x: int
    y: str


class WithToDict:
    def to_dict(self) -> dict[str, int]:
        return {"hidden": 64}


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Endless(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        return 1

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        number = 0
        while True:
            number += 1
            yield str(number)


def plain(**given: Any) -> dict[Any, Any]:
    """What is kept of parameters, after a journey through shared memory."""
    kept, _ = params.plain_params(given)
    record = wire.decode_one(encoding.encode((encoding.PARAMS, 0, 0, encoding.wire_params(kept))))
    assert isinstance(record, wire.Params)
    assert kept == record.params or any(map(math.isnan, filter(_is_float, kept.values())))
    return record.params  # type: ignore[return-value]


def _is_float(value: object) -> bool:
    return isinstance(value, float)


def kept_with_note(value: Any) -> tuple[Any, str | None]:
    """What is kept of one value, and the note about it."""
    kept, note = params.plain_params({"p": value})
    return kept["p"], note


OPTIMIZER = {"lr": 0.1, "betas": [0.9, 0.99], "schedule": None}
DAY = datetime.date(2026, 1, 1)
NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=5.5)))

KEPT: list[tuple[Any, Any]] = [
    (Optimizer(schedule=Optimizer()), {**OPTIMIZER, "schedule": OPTIMIZER}),
    (Settings(), {"path": "/data", "level": "low"}),
    (Data(), {"path": "d", "_batch": 32}),
    (Point(1, "a"), {"x": 1, "y": "a"}),
    (argparse.Namespace(lr=0.1, layers=[1]), {"lr": 0.1, "layers": [1]}),
    (types.SimpleNamespace(a=[Data()]), {"a": [{"path": "d", "_batch": 32}]}),
    (collections.ChainMap({"a": 1}), {"a": 1}),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    (WithToDict(), {"hidden": 64}),
    ({1: "a", np.int64(-2): {2**64 - 1: 3}}, {1: "a", -2: {2**64 - 1: 3}}),
    ({Level.LOW: 1}, {"low": 1}),
    ((1, [2]), [1, [2]]),
    ({10, 9}, [9, 10]),
    (frozenset({"b", "a"}), ["a", "b"]),
    ({"a": 1}.keys(), ["a"]),
    ({"a": 1}.values(), [1]),
    (collections.deque([1]), [1]),
    (range(3), [0, 1, 2]),
    (range(10**12), "range(0, 1000000000000)"),
    (Path("a/b"), "a/b"),
    (DAY, DAY),
    (NOON, NOON),
    (pd.Timestamp("2026-01-01"), datetime.datetime(2026, 1, 1)),
    (pd.Timestamp("2026-01-01 00:00:00.000000001"), "2026-01-01T00:00:00.000000001"),
    (np.datetime64("2026-01-01T12:00:00", "ns"), datetime.datetime(2026, 1, 1, 12)),
    (np.datetime64("2026-01-01"), DAY),
    (np.timedelta64(5, "ns"), "5 nanoseconds"),
    (datetime.timedelta(1, 2), "1 day, 0:00:02"),
    (datetime.time(12, 30), "12:30:00"),
    (decimal.Decimal("0.1"), 0.1),
    (decimal.Decimal("0.10000000000000000000001"), "0.10000000000000000000001"),
    (decimal.Decimal("1e400"), "1E+400"),
    (fractions.Fraction(1, 3), "1/3"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (1 + 2j, "(1+2j)"),
    (Level.HIGH, 2.5),
    (np.float32(0.5), 0.5),
    (np.array(2), 2),
    (np.longdouble(0.5), 0.5),
    (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    (np.array([{"a": Data()}], dtype=object), [{"a": {"path": "d", "_batch": 32}}]),
    (np.ma.array([1, 2], mask=[0, 1]), [1, None]),
    (np.array(["2026-01-01"], dtype="M8[ns]"), [datetime.datetime(2026, 1, 1)]),
    (pd.Series([1, 2]), [1, 2]),
    (pd.Series([0.5, 2.0], index=["a", "b"]), {"a": 0.5, "b": 2.0}),
    (pd.DataFrame({"a": [1, 2]}), {"a": [1, 2]}),
    (10**4000, 10**4000),
    ("\udc80", "\\udc80"),
]


@pytest.mark.parametrize(("value", "expected"), KEPT, ids=lambda one: type(one).__name__)
def test_kept(value: Any, expected: Any) -> None:
    """As it is, or as text that is as good as the value; the same inside others. No note."""
    assert (expected, None) == kept_with_note(value)
    assert {"a": {"b": [expected]}} == plain(a={"b": [value]})


def test_at_the_top() -> None:
    """Any object with fields is taken as a mapping is."""
    for value, expected in KEPT:
        names = isinstance(expected, dict) and all(isinstance(key, str) for key in expected)
        if names and not isinstance(value, pd.Series):
            assert (expected, None) == params.plain_params(value)


OFFSET = datetime.datetime(1900, 1, 1, tzinfo=ZoneInfo("Europe/Paris"))
CONVERTED: list[tuple[Any, Any, str]] = [
    (OFFSET, OFFSET, "a time with the UTC offset 0:09:21 was kept in UTC"),
    (pd.NaT, None, "kept as null"),
    (pd.NA, None, "kept as null"),
    (np.datetime64("NaT"), None, "kept as null"),
    (np.ma.masked, None, "kept as null"),
    (7**6000, hex(7**6000), "int of 16845 bits was kept as hexadecimal text"),
    (b"ab", "b'ab'", "bytes were kept as their text"),
    (len, str(len), "builtin_function_or_method was kept as its text"),
    (Data, str(Data), "type was kept as its text"),
    (iter([1]), None, "list_iterator was kept as its text"),
    ({None: 1}, {"None": 1}, "the key None (NoneType) was kept as its text"),
    ({True: 1}, {"True": 1}, "the key True (bool) was kept as its text"),
    ({(1, 2): 1}, {"(1, 2)": 1}, "the key (1, 2) (tuple) was kept as its text"),
    (decimal.Decimal("sNaN"), "sNaN", "could not be read (ValueError) and was kept as its text"),
    (Unspeakable(), None, "Unspeakable was kept as its text"),
]


@pytest.mark.parametrize(
    ("value", "expected", "note"), CONVERTED, ids=lambda one: type(one).__name__
)
def test_converted(value: Any, expected: Any, note: str) -> None:
    """What YAML has no kind for becomes something else, and the note has the place and why."""
    kept, said = kept_with_note(value)
    assert said is not None
    assert said.startswith("parameter p: ")
    assert note in said
    if expected is not None:
        assert expected == kept
    assert kept == plain(p=value)["p"]


def test_a_time_with_an_odd_offset_is_the_same_moment() -> None:
    """In UTC, as YAML's offsets are whole minutes."""
    kept, _ = kept_with_note(OFFSET)
    assert (OFFSET, datetime.timedelta(0)) == (kept, kept.utcoffset())


@pytest.mark.parametrize("dtype", ["f4", "i8", "M8[s]", "c16"])
def test_large_arrays(dtype: str) -> None:
    """Shape, dtype and a digest, which is that of the values however they lie in memory."""
    array = np.arange(6000).astype(dtype).reshape(60, 100)
    kept, note = kept_with_note(array)
    assert ([60, 100], str(np.dtype(dtype))) == (kept["shape"], kept["dtype"])
    assert note is not None
    assert "only the shape, the type and a digest were kept" in note
    same = np.asfortranarray(array)
    other = array.copy()
    other[0, 0] = array[1, 1]
    assert (
        kept
        == kept_with_note(same)[0]
        == kept_with_note(pd.Series(array.ravel()))[0] | {"shape": [60, 100]}
    )
    assert kept["digest"] != kept_with_note(other)[0]["digest"]


def test_large_arrays_of_objects_have_no_digest() -> None:
    """Their bytes are addresses."""
    kept, _ = kept_with_note(np.full(2000, None))
    assert {"shape": [2000], "dtype": "object", "digest": None} == kept


def test_long_bytes_have_a_digest() -> None:
    """The same bytes the same one."""
    first, second, other = (kept_with_note(b"a" * 5000 + end)[0] for end in (b"b", b"b", b"c"))
    assert 5001 == first["bytes"]
    assert first == second != other


def test_notes_are_bounded() -> None:
    """The first ones, and how many more there are."""
    _, note = params.plain_params({str(number): len for number in range(500)})
    assert note is not None
    assert note.endswith("; and 480 more")


def test_cycles_end() -> None:
    """A value that contains itself, twice even, becomes text where it comes round."""
    cycle: list[Any] = []
    cycle += [cycle, cycle]
    parent = Optimizer()
    parent.schedule = {"parent": parent}

    kept, note = params.plain_params({"cycle": cycle, "parent": parent})

    assert ["[[...], [...]]"] * 2 == kept["cycle"]
    assert str(parent) == kept["parent"]["schedule"]["parent"]  # type: ignore[call-overload, index]
    assert note is not None
    assert 3 == note.count("contains itself and was kept as its text")


def test_the_same_value_twice_is_no_cycle() -> None:
    """Only what lies around a value counts."""
    shared = {"a": [1]}

    assert {"x": shared, "y": [shared, shared]} == plain(x=shared, y=[shared, shared])


@pytest.mark.parametrize("levels", [1000, 100_000])
def test_depth_ends(levels: int) -> None:
    """Beyond a depth that no configuration has, the rest becomes text; and it can be encoded."""
    deep: list[Any] = []
    for _ in range(levels):
        deep = [deep]

    kept, note = params.plain_params({"deep": deep})

    assert note is not None
    assert f"is nested deeper than {MAX_NESTING} levels and was kept as " in note
    assert encoding.encode((encoding.PARAMS, 0, 0, encoding.wire_params(kept)))


def test_a_broken_str_is_caught() -> None:
    """A value or a key whose str() raises costs only its own text."""
    broken = f"<{__name__}.Unspeakable: str() failed with RuntimeError>"

    kept, _ = params.plain_params(
        {"value": Unspeakable(), "list": [Unspeakable()], "in": {Unspeakable(): 1}}
    )

    assert {"value": broken, "list": [broken], "in": {broken: 1}} == kept


class HidesAll:
    """Has no attribute that can be read, not even its class."""

    def __getattribute__(self, name: str) -> Any:
        raise ZeroDivisionError(name)


def test_an_object_that_hides_its_class() -> None:
    """It becomes text, and that says what is wrong."""
    kept, note = kept_with_note([HidesAll(), 1])
    assert 1 == kept[1]
    assert "HidesAll object" in kept[0]
    assert note is not None
    assert "could not be read (ZeroDivisionError)" in note
    with pytest.raises(TypeError, match=r"cannot read .*HidesAll"):
        params.plain_params(HidesAll())


WRONG: list[tuple[Any, type[Exception], str]] = [
    ([("a", 1)], TypeError, "takes a mapping or an object with fields .*, not list"),
    (None, TypeError, "not NoneType"),
    (Data, TypeError, "not type"),
    (np.zeros(2), TypeError, "not numpy.ndarray"),
    ({1: 2}, TypeError, "parameter name 1 is int, not text"),
    ({None: 2}, TypeError, "parameter name None is NoneType, not text"),
    ({Unspeakable(): 1}, TypeError, "repr\\(\\) failed with RuntimeError> is .*Unspeakable"),
    ({"a": {"b": {1: 1, "1": 2}}}, ValueError, "parameter a.b.1: two keys have the text '1'"),
    ({"a": {None: 1, "None": 2}}, ValueError, "parameter a.None: two keys have"),
    ({"\udc80": 1, "\\udc80": 2}, ValueError, "two keys have the text"),
    ({"a": {"b": [0] * 200_000}}, ValueError, r"parameter a.b\[\d+\]: more than 100000 values"),
    ({"a": Endless()}, ValueError, "parameter a.*more than 100000 values"),
    (Endless(), ValueError, "more than 100000 values"),
    ({"a": ["x" * (2**20 - 1), "y"]}, ValueError, r"parameter a\[1\]: more than 1048576 ch"),
]


@pytest.mark.parametrize(("value", "kind", "words"), WRONG)
def test_refused(value: Any, kind: type[Exception], words: str) -> None:
    """What cannot be recorded raises, and names the place."""
    with pytest.raises(kind, match=words):
        params.plain_params(value)


def test_a_value_that_grows_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each level has two of the next one: the number of values is bounded, and so is the time."""
    monkeypatch.setattr(params, "MAX_VALUES", 2000)
    grown: list[Any] = [1]
    for _ in range(60):
        grown = [grown, grown]
    with pytest.raises(ValueError, match="more than 2000 values"):
        params.plain_params({"a": grown})


# -- frameworks, where they are installed --------------------------------------------


def test_omegaconf() -> None:
    """Lists stay lists; interpolations are resolved, but for those that cannot be."""
    omegaconf = pytest.importorskip("omegaconf")
    config = omegaconf.OmegaConf.create(
        {
            "net": {"widths": [64, 32], "depth": "${n}", "table": {1: "one"}},
            "n": 3,
            "all": "${net.widths}",
            "missing": "???",
            "nowhere": "${no.such}",
            "round": "${trip}",
            "trip": "${round}",
            "none": None,
            "list": ["${n}", {"a": "???"}],
        }
    )
    expected = {
        "net": {"widths": [64, 32], "depth": 3, "table": {1: "one"}},
        "n": 3,
        "all": [64, 32],
        "missing": "???",
        "nowhere": "${no.such}",
        "round": "${trip}",
        "trip": "${round}",
        "none": None,
        "list": [3, {"a": "???"}],
    }
    assert (expected, None) == params.plain_params(config)
    assert {"inner": {"net": expected["net"]}} == plain(inner={"net": config.net})


def test_pydantic() -> None:
    """Models of both versions by their fields, extra ones too; secrets stay secret."""
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel, extra="allow"):  # type: ignore[misc, name-defined]
        name: str = "adam"
        betas: tuple[float, ...] = (0.9, 0.99)
        key: pydantic.SecretStr = pydantic.SecretStr("hidden")  # type: ignore[name-defined]

    class Root(pydantic.RootModel):  # type: ignore[misc, name-defined]
        root: tuple[int, ...] = (1, 2)

    fields = {"name": "adam", "betas": [0.9, 0.99], "key": "**********"}
    kept, note = params.plain_params(Model(more=Model()))
    assert {**fields, "more": fields} == kept
    assert "hidden" not in str(note)
    assert {"root": [1, 2]} == plain(root=Root())


def test_jax() -> None:
    """Arrays as numpy's."""
    jnp = pytest.importorskip("jax.numpy")
    kept = plain(a=jnp.arange(3), b=jnp.ones(2, dtype=jnp.bfloat16), c=jnp.bfloat16(0.5))
    assert {"a": [0, 1, 2], "b": [1.0, 1.0], "c": 0.5} == kept
    large, _ = kept_with_note(jnp.zeros(5000))
    assert large == kept_with_note(np.zeros(5000, dtype="f4"))[0]
