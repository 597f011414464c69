"""Converts parameters, which may be any Python objects, to the plain values that YAML has.

Structure is kept down to MAX_NESTING levels. A value that YAML has no type for becomes text or
null, with a note for run.log. A value that cannot be recorded raises an error that names its place.
"""

from __future__ import annotations

import datetime
import enum
import operator
import os
from typing import Any, TypeAlias

from expman.models import MAX_NESTING, safe_text
from expman.shown import shown, type_name
from expman.transport import arrays
from expman.transport.structure import Pairs, has_base, listed_parts, named_parts
from expman.transport.values import PlainValue, scalar_hook

__all__ = ["plain_params"]

_Path: TypeAlias = tuple[int, ...]  # ids of the values that contain the present one

MAX_VALUES = 100_000
MAX_CHARS = 1024 * 1024
"""config.yaml is written as a whole, and must stay far below the 64 MiB that its readers take."""
MAX_INT_BITS = 14_000
"""Python reads up to 4,300 decimal digits, which is 14,284 bits."""
MAX_BYTES = 1024
_OBJECT_CHARS = 10_000
_SHOWN_NOTES = 20


class _Refusal(Exception):
    """Ends the walk; `error` is raised instead of it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def plain_params(params: object) -> tuple[dict[str | int, PlainValue], str | None]:
    """Converts parameters; also returns a note for run.log about values that were changed.

    Args:
        params: a mapping whose keys are text, or an object with fields.

    Raises:
        TypeError: they have no names, or a name is not text.
        ValueError: two names are the same text, or the parameters are too large.
    """
    walk = _Walk()
    try:
        parts = named_parts(params, MAX_VALUES + 1)
    except Exception as exc:
        raise TypeError(f"log_params cannot read {type_name(params)}: {shown(exc)}") from exc
    if parts is None:
        raise TypeError(
            "log_params takes a mapping or an object with fields (a dataclass, a Namespace, …), "
            f"not {type_name(params)}"
        )
    try:
        return walk.mapping(parts, "", (id(params),)), walk.note()
    except _Refusal as refusal:
        raise refusal.error from None


class _Walk:
    """Converts the parameters of one call, and counts their values and characters."""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._omitted = 0
        self._values = 0
        self._chars = 0

    def note(self) -> str | None:
        """The values that were changed, as one line."""
        more = [f"and {self._omitted} more"] if self._omitted else []
        return "; ".join([*self._notes, *more]) or None

    def _note(self, where: str, text: str) -> None:
        if len(self._notes) < _SHOWN_NOTES:
            self._notes.append(f"parameter {where}: {text}")
        else:
            self._omitted += 1

    # -- structure ----------------------------------------------------------------

    def mapping(self, pairs: Pairs, where: str, around: _Path) -> dict[str | int, PlainValue]:
        """Converts named values; `around` has the values that contain them."""
        plain: dict[str | int, PlainValue] = {}
        texts: set[str] = set()
        for key, value in pairs:
            name = self._key(key, where, top=len(around) == 1)
            text = str(name)
            inner = f"{where}.{_short(text)}".lstrip(".")
            if text in texts:  # 1 and "1" are one in JSON and in a table
                raise _Refusal(ValueError(f"parameter {inner}: two keys have the text {text!r}"))
            texts.add(text)
            plain[name] = self.convert(value, inner, around)
        return plain

    def _key(self, key: object, where: str, *, top: bool) -> str | int:
        if isinstance(key, enum.Enum):
            key = key.value
        if isinstance(key, str):
            return self._text(str.__str__(key), where)
        if top:
            raise _Refusal(
                TypeError(
                    f"parameter name {shown(key)} is {type_name(key)}, not text; "
                    "use str() on it, or log the mapping under a name"
                )
            )
        if not isinstance(key, bool):
            number = _as_int(key)
            if number is not None and -(2**63) <= number < 2**64:
                return number
        self._note(
            where or "names", f"the key {shown(key)} ({type_name(key)}) was kept as its text"
        )
        return self._text(_str(key), where)

    def convert(self, value: object, where: str, around: _Path) -> PlainValue:
        """Converts one value of any type."""
        self._values += 1
        if self._values > MAX_VALUES:
            raise _Refusal(
                ValueError(
                    f"parameter {where}: more than {MAX_VALUES} values in one call; "
                    "save them as an artifact"
                )
            )
        kind = type(value)
        if value is None or kind is bool or kind is float:
            return value  # type: ignore[return-value]
        if kind is str:
            return self._text(value, where)  # type: ignore[arg-type]
        if kind is int:
            return self._int(value, where)  # type: ignore[arg-type]
        if id(value) in around:
            return self._as_text(value, where, "contains itself and")
        if len(around) > MAX_NESTING:
            return self._as_text(value, where, f"is nested deeper than {MAX_NESTING} levels and")
        try:
            return self._convert_object(value, where, (*around, id(value)))
        except _Refusal:
            raise
        except Exception as exc:  # noqa: BLE001 - a foreign object may raise anything
            return self._as_text(value, where, f"could not be read ({type(exc).__name__}) and")

    def _convert_object(self, value: Any, where: str, around: _Path) -> PlainValue:
        if type(value) is dict:  # the usual case needs none of the checks below
            return self.mapping(list(value.items()), where, around)
        if type(value) is list or type(value) is tuple:
            return self._list(list(value), where, around)
        match value:
            case enum.Enum():
                return self.convert(value.value, where, around)
            case str():
                return self._text(str.__str__(value), where)
            case float():
                return float.__float__(value)
            case int():
                return self._int(int.__int__(value), where)
            case datetime.date() if not has_base(value, "pandas", "NaTType"):
                return self._date(value, where)
            case datetime.timedelta() | datetime.time() | complex():
                return self._text(_str(value), where)  # as good as the value
            case bytes() | bytearray() | memoryview():
                return self._bytes(bytes(value), where)
            case os.PathLike():
                return self._text(str.__str__(os.fsdecode(value)), where)
            case range() if len(value) > MAX_VALUES:
                return _str(value)
        return self._convert_foreign(value, where, around)

    def _convert_foreign(self, value: Any, where: str, around: _Path) -> PlainValue:
        if has_base(value, "pandas", "NaTType", "NAType"):
            return self._null(value, where)
        if has_base(value, "decimal", "Decimal"):
            return self._decimal(value, where)
        if has_base(value, "uuid", "UUID") or has_base(value, "fractions", "Fraction"):
            return _str(value)
        if has_base(value, "pydantic", "RootModel"):
            return self.convert(value.root, where, around)
        if arrays.is_array(value):
            return self._array(value, where, around)
        named = named_parts(value, MAX_VALUES + 1)
        if named is not None:
            return self.mapping(named, where, around)
        listed = listed_parts(value, MAX_VALUES + 1)
        if listed is not None:
            return self._list(listed, where, around)
        return self._as_text(value, where)

    def _list(self, values: list[object], where: str, around: _Path) -> PlainValue:
        return [
            self.convert(value, f"{where}[{number}]", around) for number, value in enumerate(values)
        ]

    # -- single values ------------------------------------------------------------

    def _text(self, text: str, where: str) -> str:
        self._chars += len(text)
        if self._chars > MAX_CHARS:
            raise _Refusal(
                ValueError(
                    f"parameter {where}: more than {MAX_CHARS} characters in one call; "
                    "save them as an artifact"
                )
            )
        return safe_text(text)

    def _as_text(self, value: object, where: str, why: str = "") -> str:
        text = _str(value)
        cut = len(text) > _OBJECT_CHARS
        how = f"the first {_OBJECT_CHARS} characters of its text" if cut else "its text"
        self._note(where, f"{type_name(value)} {why}".rstrip() + f" was kept as {how}")
        return self._text(text[:_OBJECT_CHARS], where)

    def _int(self, value: int, where: str) -> int | str:
        if value.bit_length() <= MAX_INT_BITS:
            return value
        self._note(where, f"int of {value.bit_length()} bits was kept as hexadecimal text")
        return self._text(hex(value), where)

    def _decimal(self, value: Any, where: str) -> float | str:
        number = float(value)
        if number != number or type(value)(repr(number)) == value:
            return number
        return self._text(_str(value), where)

    def _bytes(self, value: bytes, where: str) -> PlainValue:
        if len(value) <= MAX_BYTES:
            self._note(where, "bytes were kept as their text")
            return self._text(repr(value), where)
        self._note(where, f"of {len(value)} bytes only the digest was kept")
        return {"bytes": len(value), "digest": arrays.digest_of(value)}

    def _date(self, value: datetime.date, where: str) -> PlainValue:
        if not isinstance(value, datetime.datetime):
            return datetime.date(value.year, value.month, value.day)
        if getattr(value, "nanosecond", 0):  # pandas: finer than YAML's times
            return self._text(value.isoformat(), where)
        plain = datetime.datetime.fromisoformat(datetime.datetime.isoformat(value))
        offset = plain.utcoffset()
        if offset is None or not offset % datetime.timedelta(minutes=1):
            return plain
        # YAML's offsets are whole minutes.
        self._note(where, f"a time with the UTC offset {offset} was kept in UTC")
        return plain.astimezone(datetime.UTC)

    def _null(self, value: object, where: str) -> PlainValue:
        self._note(where, f"{type_name(value)} was kept as null")
        return None

    def _array(self, value: object, where: str, around: _Path) -> PlainValue:
        if arrays.is_scalar(value):
            return self._array_scalar(value, where, around)
        parts = arrays.parts(value)
        if parts is not None:
            return self.convert(parts, where, around)
        self._note(where, f"of {type_name(value)} only the shape, the type and a digest were kept")
        return self.convert(arrays.summary(value), where, around)

    def _array_scalar(self, value: object, where: str, around: _Path) -> PlainValue:
        item = arrays.item_of(value)
        if item is None:
            return self._null(value, where)
        if type(item) is type(value):
            return scalar_hook(value)
        return self.convert(item, where, around)


def _as_int(key: object) -> int | None:
    try:
        return operator.index(key)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - a foreign object may raise anything
        return None


def _str(value: object) -> str:
    try:
        return str.__str__(str(value))
    except Exception as exc:  # noqa: BLE001 - a foreign __str__ may raise anything
        return f"<{type_name(value)}: str() failed with {type(exc).__name__}>"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
