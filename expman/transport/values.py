"""Checks metrics, scalars and steps, and converts them to the plain values that travel.

Metrics are plain float, int, bool or str. Decimals, scalars of numpy and ml_dtypes, and 0-d
arrays and tensors of any library are taken by value if they are on the CPU. A device tensor is
refused: reading it waits for the device, and that cost should stand in the caller's code, as
`.item()`.
"""

from __future__ import annotations

import datetime
import enum
import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from expman.fixed_columns import reserved
from expman.models import MetricValue, safe_text
from expman.shown import shown, type_name

__all__ = [
    "RESERVED_COLUMNS",
    "PlainValue",
    "check_key",
    "check_types",
    "is_numpy_scalar",
    "learn_types",
    "plain_metric",
    "plain_path",
    "plain_row",
    "plain_step",
    "plain_text",
    "plain_time",
    "scalar_hook",
]

RESERVED_COLUMNS = reserved()
_REFUSED_NAMES = RESERVED_COLUMNS | {""}

PlainValue: TypeAlias = (
    "None | bool | int | float | str | datetime.date | datetime.datetime"
    " | list[PlainValue] | dict[str | int, PlainValue]"
)
"""A parameter as it travels."""
Encode: TypeAlias = Callable[[object], bytes]

_PLAIN = (float, int, bool, str)
_KINDS = (
    "expected a float, int, bool or str, or a 0-d value of numpy, torch, jax or others on the CPU"
)


def scalar_hook(value: Any) -> MetricValue:
    """Converts a 0-d value of any array library, or of a subclass of a plain type.

    msgspec calls it as its `enc_hook`. The protocol is the same for all libraries: no dimensions,
    on the CPU, and `item()`, or else `numpy()`, gives the value. A masked value is NaN.

    Raises:
        TypeError: the value is not a scalar, or not on the CPU.
    """
    try:
        return _scalar(value)
    except (TypeError, TimeoutError):  # a timeout is a signal handler's, and the caller's
        raise
    except Exception as exc:  # a foreign object may raise anything
        raise TypeError(f"{type_name(value)}, which cannot be read: {shown(exc)}") from exc


_items: dict[type, Callable[[Any], object]] = {}  # of numpy's scalars, which need no other check


def _scalar(value: Any) -> MetricValue:
    item = _items.get(type(value))
    if item is not None:
        plain = item(value)
        if type(plain) in _PLAIN:
            return plain  # type: ignore[return-value]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if type(value).__module__ == "decimal" and type(value).__name__ == "Decimal":
        return float(value)
    if value is None:
        raise TypeError("None")
    dimensions = getattr(value, "ndim", None)
    if dimensions == 0:
        return _zero_d(value)
    if type(dimensions) is int and math.prod(value.shape) == 1:
        raise TypeError(f"{type_name(value)} of shape {tuple(value.shape)}: call .item() on it")
    raise TypeError(f"{type_name(value)}, which is not a scalar")


def _zero_d(value: Any) -> MetricValue:
    device = getattr(value, "device", "cpu")
    if device != "cpu" and not _is_cpu(device):
        raise TypeError(
            f"{type_name(value)} on {shown(device)}: call .item() on it (this waits for the device)"
        )
    if hasattr(type(value), "mask") and value.mask:  # numpy.ma: its item() would be 0.0
        return math.nan
    plain = value.item() if hasattr(value, "item") else value.numpy().item()
    if type(plain) in _PLAIN:
        if is_numpy_scalar(type(value)):
            _items[type(value)] = type(value).item
        return plain  # type: ignore[no-any-return]
    kind = type(plain).__name__
    if kind == "longdouble" or (type(plain).__module__ == "ml_dtypes" and "float" in kind):
        return float(plain)
    if type(plain).__module__ == "ml_dtypes" and "int" in kind:
        return int(plain)
    raise TypeError(f"{type_name(value)}, which holds a value of type {kind}")


def is_numpy_scalar(kind: type) -> bool:
    """Whether a type is one of numpy's own scalars."""
    return kind.__module__ == "numpy" and any(base.__name__ == "generic" for base in kind.__mro__)


def _is_cpu(device: Any) -> bool:
    """Whether a device of torch or jax, or the name of one of tensorflow, is the CPU."""
    if isinstance(device, str):
        return "cpu" in device.lower()
    if hasattr(device, "type"):
        return bool(device.type == "cpu")
    devices = getattr(device, "device_set", None) or (device,)  # of a sharding
    return all(getattr(one, "platform", None) == "cpu" for one in devices)


def plain_metric(key: str, value: object) -> MetricValue:
    """One metric by its value; an integer beyond 64 bits becomes the nearest float.

    Raises:
        TypeError: naming the key and the type.
        ValueError: naming the key of an integer that is larger than any float.
    """
    plain = value
    if type(plain) not in _PLAIN:
        try:
            plain = value.value if isinstance(value, enum.Enum) else value
            if type(plain) not in _PLAIN:
                plain = scalar_hook(plain)
        except TypeError as exc:
            raise TypeError(f"metric {shown(key)}: cannot log {exc}; {_KINDS}") from exc.__cause__
    if type(plain) is int and not -(2**63) <= plain < 2**64:
        try:
            return float(plain)
        except OverflowError:
            raise ValueError(
                f"metric {shown(key)}: an int of {plain.bit_length()} bits is larger than any "
                "float; log its logarithm, or str() of it"
            ) from None
    if type(plain) is str:
        return safe_text(plain)
    return plain  # type: ignore[return-value]


LEAST_TIME_NS = 2**32
"""Four seconds after the epoch: a time takes nine bytes in every record, see `layout`."""
_known_types: set[type] = {float, int, bool}


def learn_types(values: Iterable[object], plain: Iterable[object], encode: Encode) -> bool:
    """Remembers the types of values that `encode` encodes like their plain values.

    msgspec encodes a dataclass, a Struct or an Enum in its own way, whatever number it stands for.

    Returns:
        False: one of the values is encoded in another way.
    """
    for value, number in zip(values, plain, strict=True):
        if type(value) in _known_types:
            continue
        if isinstance(value, enum.Enum) or encode(value) != encode(number):
            return False
        _known_types.add(type(value))
    return True


def check_types(row: tuple[object, ...], _: object = None) -> None:
    """Checks that `learn_types` has remembered the types of all values of a row.

    Raises:
        TypeError: it has not.
    """
    if not _known_types.issuperset(map(type, row)):
        raise TypeError("a value of a type that was not logged before")


def plain_row(values: Mapping[str, object]) -> dict[str, MetricValue]:
    """Checks a row of metrics and converts its values.

    Raises:
        TypeError: the values are not a mapping, a key is not text, or a value cannot be used.
        ValueError: a key is empty, reserved or there twice, or an int is larger than any float.
    """
    if not isinstance(values, Mapping):
        raise TypeError(
            f"log_vector takes a mapping of metric names to values, not {type_name(values)}"
        )
    row: dict[str, MetricValue] = {}
    for key, value in values.items():
        # The usual names and values are checked here: a call for each would double the time.
        usual = type(key) is str and key.isascii() and key not in _REFUSED_NAMES
        name = key if usual else check_key(key)
        if name in row:  # two texts that UTF-8 cannot hold, or a mapping that is not one
            raise ValueError(f"metric name {name!r} is there twice")
        kind = type(value)
        if kind is float or kind is bool or (kind is str and value.isascii()):  # type: ignore[attr-defined]
            row[name] = value  # type: ignore[assignment]
        else:
            row[name] = plain_metric(name, value)
    return row


def check_key(key: object) -> str:
    """A metric's name as plain text.

    Raises:
        TypeError: it is not text.
        ValueError: it is empty, or the name of a fixed column.
    """
    if not isinstance(key, str):
        raise TypeError(f"metric name {shown(key)} is {type_name(key)}, not text; use a str")
    if not key:
        raise ValueError("metric name '' is empty; give the metric a name")
    if key in RESERVED_COLUMNS:
        raise ValueError(
            f"metric name {key!r} is a column of every run; choose another "
            f"(reserved: {', '.join(sorted(RESERVED_COLUMNS))})"
        )
    return safe_text(str.__str__(key))


def plain_step(step: object) -> int | None:
    """Converts a step: an int, a whole float, or a 0-d value that is one of these.

    Raises:
        TypeError: it is something else, for example a bool, which is a mistake for another value.
        ValueError: it does not fit into 64 bits.
    """
    if step is None:
        return None
    try:
        plain = step if type(step) in _PLAIN else scalar_hook(step)
    except TypeError as exc:
        raise TypeError(f"step {shown(step)} is not a whole number: {exc}") from None
    if isinstance(plain, float) and plain.is_integer():
        plain = int(plain)
    if type(plain) is not int:
        raise TypeError(
            f"step {shown(step)} is {type_name(step)}, not a whole number; pass an int or None"
        )
    if not -(2**63) <= plain < 2**63:
        raise ValueError(f"step {shown(plain)} does not fit into 64 bits; pass a smaller one")
    return plain


def plain_time(logged_at_ns: object) -> int | None:
    """Checks a time in nanoseconds since the Unix epoch; None stays.

    Raises:
        TypeError: it is not a whole number.
        ValueError: a timestamp cannot hold it.
    """
    if logged_at_ns is None:
        return None
    if type(logged_at_ns) is not int:
        raise TypeError(
            f"logged_at_ns {shown(logged_at_ns)} is {type_name(logged_at_ns)}; pass nanoseconds "
            "since 1970 as an int, or None"
        )
    if not LEAST_TIME_NS <= logged_at_ns < 2**63:
        raise ValueError(
            f"logged_at_ns {shown(logged_at_ns)} is not within {LEAST_TIME_NS} and 2**63"
        )
    return logged_at_ns


def plain_text(what: str, value: object) -> str:
    """The str() of a value, with what UTF-8 cannot hold replaced.

    Raises:
        TypeError: its str() fails.
    """
    try:
        return safe_text(str.__str__(str(value)))
    except TimeoutError:
        raise
    except Exception as exc:  # a foreign object may raise anything
        raise TypeError(f"{what}: str() of {type_name(value)} failed: {shown(exc)}") from exc


def plain_path(what: str, value: object) -> str:
    """A path as text.

    Raises:
        TypeError: it is not one.
    """
    try:
        return str.__str__(os.fsdecode(value))  # type: ignore[arg-type]
    except TimeoutError:
        raise
    except Exception as exc:  # a foreign object may raise anything
        raise TypeError(f"{what} {shown(value)} is {type_name(value)}, not a path") from exc
