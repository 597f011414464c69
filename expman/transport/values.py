"""What a producer accepts, and the plain values that travel.

Metrics are plain float, int, bool or str. Decimals, numpy scalars and 0-d arrays and tensors
on the CPU are taken by value. A device tensor is refused: reading it waits for the device,
and that cost should stand in the caller's code, as `.item()`.
"""

from __future__ import annotations

import datetime
import enum
import math
import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from expman.models import MetricValue, safe_text

__all__ = [
    "RESERVED_COLUMNS",
    "PlainValue",
    "are_numbers",
    "check_key",
    "plain_metric",
    "plain_params",
    "plain_row",
    "plain_step",
    "scalar_hook",
]

RESERVED_COLUMNS = frozenset({"step", "timestamp", "_producer", "_seq", "_rank"})

PlainValue: TypeAlias = (
    "None | bool | int | float | str | datetime.date | datetime.datetime"
    " | list[PlainValue] | dict[str, PlainValue]"
)

_PLAIN = (float, int, bool, str)
_MAX_DEPTH = 64


def scalar_hook(value: object) -> MetricValue:
    """msgspec's enc_hook: a scalar of numpy or torch, or of a subclass, by its value.

    Raises:
        TypeError: if the value is no scalar.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if type(value).__module__ == "decimal" and type(value).__name__ == "Decimal":
        return float(value)  # type: ignore[arg-type]
    item = getattr(value, "item", None)
    if item is None or getattr(value, "ndim", None) != 0:
        raise TypeError(f"{_type_name(value)} is no scalar")
    device = getattr(value, "device", "cpu")
    if getattr(device, "type", device) != "cpu":
        raise TypeError(
            f"{_type_name(value)} on {device}: call .item() on it (this waits for the device)"
        )
    plain = item()
    if type(plain) in _PLAIN:
        return plain  # type: ignore[no-any-return]
    if type(plain).__name__ == "longdouble":
        return float(plain)
    raise TypeError(f"{_type_name(value)} holds a {type(plain).__name__}")


def plain_metric(key: str, value: object) -> MetricValue:
    """One metric by its value; an integer beyond 64 bits becomes the nearest float.

    Raises:
        TypeError: naming the key and the type.
    """
    plain = value
    if type(plain) not in _PLAIN:
        try:
            plain = value.value if isinstance(value, enum.Enum) else scalar_hook(value)
            if type(plain) not in _PLAIN:
                plain = scalar_hook(plain)
        except TypeError as exc:
            raise TypeError(
                f"metric {key!r}: cannot log {exc}; "
                "a metric is a float, an int, a bool, a str or a numpy or torch scalar on the CPU"
            ) from None
    if type(plain) is int and not -(2**63) <= plain < 2**64:
        try:
            return float(plain)
        except OverflowError:
            return math.inf if plain > 0 else -math.inf
    if type(plain) is str:
        return safe_text(plain)
    return plain  # type: ignore[return-value]


def are_numbers(values: Mapping[str, object]) -> bool:
    """Whether all values are plain floats, ints and bools."""
    return {float, int, bool}.issuperset(map(type, values.values()))


def plain_row(values: Mapping[str, object]) -> dict[str, MetricValue]:
    """A row of metrics, checked and by value.

    Raises:
        TypeError: for values that are no mapping, a key that is no text, an unusable value.
        ValueError: for an empty or a reserved key.
    """
    if not isinstance(values, Mapping):
        raise TypeError(
            f"log_vector takes a mapping of metric names to values, not {_type_name(values)}"
        )
    row = {}
    for key, value in values.items():
        name = check_key(key)
        row[name] = plain_metric(name, value)
    return row


def check_key(key: object) -> str:
    """A metric's name as plain text.

    Raises:
        TypeError: if it is no text.
        ValueError: if it is empty or names a column of ours.
    """
    if not isinstance(key, str):
        raise TypeError(f"metric name {key!r} is {_type_name(key)}, not text")
    if not key:
        raise ValueError("metric name '' is empty; give the metric a name")
    if key in RESERVED_COLUMNS:
        raise ValueError(
            f"metric name {key!r} is a column of every run; choose another "
            f"(reserved: {', '.join(sorted(RESERVED_COLUMNS))})"
        )
    return safe_text(str.__str__(key))


def plain_step(step: object) -> int | None:
    """A step as a whole number.

    Raises:
        TypeError: if it is none.
        ValueError: if it does not fit into 64 bits.
    """
    if step is None:
        return None
    try:
        plain = step if type(step) is int else scalar_hook(step)
    except TypeError:
        raise TypeError(f"step {step!r} is {_type_name(step)}, not a whole number") from None
    if isinstance(plain, float) and plain.is_integer():
        plain = int(plain)
    if not isinstance(plain, int):
        raise TypeError(f"step {step!r} is {_type_name(step)}, not a whole number")
    if not -(2**63) <= plain < 2**63:
        raise ValueError(f"step {plain} does not fit into 64 bits")
    return int(plain)


def plain_params(params: Mapping[str, object]) -> tuple[dict[str, PlainValue], list[str]]:
    """Parameters as plain YAML values, and what had to become text.

    Nested mappings, lists, tuples, None, numbers, text, dates, paths, enums, dataclasses
    and numpy scalars are kept; anything else becomes its str().

    Returns:
        The values, and one line for each value that became text.

    Raises:
        TypeError: if the parameters are no mapping.
    """
    if not isinstance(params, Mapping):
        raise TypeError(f"log_params takes a mapping, not {_type_name(params)}")
    notes: list[str] = []
    return _plain_mapping(params, "", notes, ()), notes


_Path: TypeAlias = tuple[int, ...]  # ids of the values that lie around the present one


def _plain_mapping(
    mapping: Mapping[Any, object], where: str, notes: list[str], path: _Path
) -> dict[str, PlainValue]:
    plain: dict[str, PlainValue] = {}
    for key, value in mapping.items():
        name = _plain_key(key)
        plain[name] = _plain_param(value, f"{where}.{name}".lstrip("."), notes, path)
    return plain


def _plain_key(key: object) -> str:
    key = key.value if isinstance(key, enum.Enum) else key
    return str.__str__(key) if isinstance(key, str) else _text_of(key)


def _plain_param(value: object, where: str, notes: list[str], path: _Path) -> PlainValue:
    if value is None or type(value) in _PLAIN:
        return value  # type: ignore[return-value]
    if len(path) >= _MAX_DEPTH or id(value) in path:
        return _as_text(value, where, notes)
    path = (*path, id(value))
    match value:
        case enum.Enum():
            return _plain_param(value.value, where, notes, path)
        case datetime.datetime() | datetime.date():
            return value
        case os.PathLike():
            return os.fsdecode(value)
        case Mapping():
            return _plain_mapping(value, where, notes, path)
        case list() | tuple() | set() | frozenset() | range():
            items: Iterable[object] = value
            if isinstance(value, set | frozenset):
                items = sorted(value, key=_text_of)
            return [
                _plain_param(item, f"{where}[{number}]", notes, path)
                for number, item in enumerate(items)
            ]
    fields = _fields(value)
    if fields is not None:
        return _plain_mapping(fields, where, notes, path)
    try:
        return scalar_hook(value)
    except (TypeError, ValueError, RuntimeError):
        return _as_text(value, where, notes)


def _fields(value: object) -> dict[object, object] | None:
    """Fields of a dataclass or a msgspec Struct, one level deep."""
    if isinstance(value, type):
        return None
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    names = getattr(type(value), "__dataclass_fields__", None)
    if names is None:
        return None
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _as_text(value: object, where: str, notes: list[str]) -> str:
    notes.append(f"parameter {where}: {_type_name(value)} was kept as its text")
    return _text_of(value)


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception as exc:  # noqa: BLE001 - a foreign __str__ may raise anything
        return f"<{_type_name(value)}: str() failed with {type(exc).__name__}>"


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
