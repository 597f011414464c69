"""Any Python object, for Hypothesis: plain, odd and hostile ones, in any container."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import enum
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from unittest.mock import MagicMock

import attr
import msgspec
import numpy as np
import pandas as pd
from hypothesis import strategies as st

from expman.shown import shown, type_name

__all__ = [
    "Box",
    "FloatArray",
    "FloatAttrs",
    "FloatData",
    "FloatStruct",
    "metrics",
    "objects",
    "texts",
    "trees",
]


class Box:
    """Holds a value, so that Hypothesis can show it, whatever it is."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Box({type_name(self.value)}: {shown(self.value)})"


class Refuses:
    """Raises whatever it is asked."""

    def _refuse(self, *_: object) -> NoReturn:
        raise RuntimeError("refused")

    __str__ = __repr__ = __iter__ = __len__ = __bool__ = __float__ = __int__ = _refuse
    __getattr__ = __eq__ = __fspath__ = __index__ = __array__ = _refuse  # type: ignore[assignment]

    def __hash__(self) -> int:
        return 1


class HasAll:
    """Has every attribute, and each is itself."""

    def __getattr__(self, name: str) -> HasAll:
        return self

    def __call__(self, *_: object, **__: object) -> HasAll:
        return self


def lies(kind: type) -> object:
    """An object that says that it is of another class."""

    class Lies:
        @property
        def __class__(self) -> type:  # type: ignore[override]
            return kind

    return Lies()


class SelfMade(Mapping[Any, Any]):
    """A mapping with whatever items."""

    def __init__(self, made: Callable[[], Any]) -> None:
        self._made = made

    def items(self) -> Any:
        return self._made()

    def __getitem__(self, key: object) -> object:
        return 1.0

    def __iter__(self) -> Iterator[Any]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class Endless(Sequence[Any]):
    """A sequence without end, of sequences without end."""

    def __getitem__(self, index: Any) -> Any:
        return Endless()

    def __len__(self) -> int:
        return 3


class OddText(str):
    def __str__(self) -> str:
        return "another"

    def encode(self, *_: object) -> bytes:  # type: ignore[override]
        raise RuntimeError("refused")

    __repr__ = __str__


class OddNumber(int):
    def __int__(self) -> int:
        return 2**70

    def __str__(self) -> str:
        raise RuntimeError("refused")

    __repr__ = __str__


class OddFloat(float):
    def __float__(self) -> float:
        raise RuntimeError("refused")


class Tensor:
    """As much of a tensor as is looked at, with whatever in it."""

    dtype, device = "odd", "cpu"

    def __init__(self, item: object, shape: Any) -> None:
        self._item, self._shape = item, shape

    @property
    def shape(self) -> Any:
        return self._shape

    @property
    def ndim(self) -> Any:
        return len(self._shape)

    def item(self) -> object:
        if isinstance(self._item, Exception):
            raise self._item
        return self if self._item is Tensor else self._item

    def tolist(self) -> object:
        return self._item


class _Float:
    """msgspec encodes the fields of what is made of it; others see a number."""

    def __float__(self) -> float:
        return 0.5

    def __radd__(self, other: float) -> float:
        return other


@dataclasses.dataclass
class FloatData(_Float):
    x: Any


@attr.s(auto_attribs=True)
class FloatAttrs(_Float):
    x: Any


class FloatStruct(msgspec.Struct):
    x: Any
    __float__, __radd__ = _Float.__float__, _Float.__radd__


class FloatArray(msgspec.Struct, array_like=True):
    x: Any
    __float__, __radd__ = _Float.__float__, _Float.__radd__


@dataclasses.dataclass
class Data:
    x: Any


@attr.s(auto_attribs=True)
class Attrs:
    x: Any


class Struct(msgspec.Struct):
    x: Any


class Pair(NamedTuple):
    x: Any
    y: Any = 1


class OddEnum(enum.Enum):
    TEXT = "text"
    NOTHING = None
    OBJECT = object()
    HUGE = 10**5000


class OddMeta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__name__", "__module__", "shape"):
            raise RuntimeError("refused")
        return super().__getattribute__(name)


class OfOddMeta(metaclass=OddMeta):
    pass


def _cycle() -> list[Any]:
    cycle: list[Any] = [1]
    cycle.append({"again": cycle})
    return cycle


def _deep() -> list[Any]:
    deep: list[Any] = []
    for _ in range(3000):
        deep = [deep]
    return deep


_HOSTILE: list[Callable[[], Any]] = [
    Refuses,
    HasAll,
    Endless,
    OfOddMeta,
    MagicMock,
    _cycle,
    _deep,
    object,
    lambda: (number for number in range(3)),
    lambda: SelfMade(lambda: iter(lambda: ("a", 1.0), None)),  # without end
    lambda: SelfMade(lambda: [("a", 1.0), ("a", 2.0)]),
    lambda: SelfMade(lambda: [1, 2]),
    lambda: SelfMade(lambda: 5),
    lambda: OddText("odd\udc80"),
    lambda: OddNumber(7),
    lambda: OddFloat(0.5),
    lambda: 10**5000,
    lambda: range(10**15),
    lambda: memoryview(b"ab"),
    lambda: np.ma.masked,
    lambda: np.datetime64("NaT"),
    lambda: np.datetime64(5, "Y"),
    lambda: np.array(["2026-01-01"], dtype="M8[ns]"),
    lambda: np.array([{"a": 1}], dtype=object),
    lambda: np.zeros(1),
    lambda: np.zeros(2000, dtype="V3"),
    lambda: np.void(b"ab"),
    lambda: np.longdouble(0.1),
    lambda: np.zeros(2, dtype=[("a", "f4")]),
    lambda: pd.NaT,
    lambda: pd.NA,
    lambda: pd.Timestamp(1, unit="ns"),
    lambda: pd.Series([1, 2], index=["a", "a"]),
    lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]),
    lambda: int,
    lambda: len,
    lambda: types.ModuleType("odd"),
]

texts = st.text(st.characters(exclude_categories=[]), max_size=8)
_offsets = st.builds(
    datetime.timezone,
    st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23)),
)
_leaves: st.SearchStrategy[Any] = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), texts, st.binary(max_size=4)),
    *(st.complex_numbers(), st.decimals(), st.fractions(), st.uuids(), st.timedeltas()),
    *(st.dates(), st.times(), st.datetimes(timezones=st.none() | _offsets)),
    st.sampled_from(["TEXT", "NOTHING", "OBJECT", "HUGE"]).map(lambda name: OddEnum[name]),
    st.builds(Path, texts.filter(lambda text: "\0" not in text)),
    st.sampled_from([np.float32, np.int8, np.bool_, np.array, np.complex64]).map(
        lambda kind: kind(1)
    ),
    st.integers(0, len(_HOSTILE) - 1).map(lambda number: _HOSTILE[number]()),
    st.sampled_from([str, int, float, dict, list, datetime.datetime, enum.Enum, Path]).map(lies),
)


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except Exception:  # noqa: BLE001 - an object of any kind
        return False
    return True


_keys = _leaves.filter(_hashable)


def _around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=3)
    named = st.dictionaries(texts, inner, max_size=3)
    fields = st.dictionaries(texts.filter(lambda name: name[:2] != "__"), inner, max_size=3)
    return st.one_of(
        *(lists, lists.map(tuple), lists.map(collections.deque), named, named.map(SelfMade_of)),
        st.dictionaries(_keys, inner, max_size=3),
        st.lists(_keys, max_size=3).map(_set),
        *(inner.map(kind) for kind in (Data, FloatData, FloatArray, Attrs, Struct, Pair)),
        fields.map(lambda found: types.SimpleNamespace(**found)),
        fields.map(lambda found: argparse.Namespace(**found)),
        st.builds(Tensor, inner, st.sampled_from([(), (1,), (2, 1), "odd"])),
        st.sampled_from([RuntimeError("no"), ValueError("no"), Tensor]).map(
            lambda item: Tensor(item, ())
        ),
    )


def _set(values: list[Any]) -> Any:
    try:
        return set(values)
    except Exception:  # noqa: BLE001 - an __eq__ may raise
        return values


def SelfMade_of(found: dict[str, Any]) -> SelfMade:  # noqa: N802
    return SelfMade(found.items)


_objects = st.recursive(_leaves, _around, max_leaves=6)
objects = _objects.map(Box)
trees = st.one_of(st.dictionaries(texts, _objects, max_size=3), _objects).map(Box)
_names = st.sampled_from(["a", "b", "x/ü"])
metrics = st.dictionaries(_names, _objects | st.floats(), min_size=1, max_size=3).map(Box)
