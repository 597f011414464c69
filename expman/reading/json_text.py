"""Values as JSON text that gives back the same values, NaN and infinities included.

A number that JSON does not have is the text `"NaN"`, `"Infinity"` or `"-Infinity"`. A text of that
kind becomes `{"text": "NaN"}`, so that nothing is mistaken for something else.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

__all__ = ["from_json", "to_json"]

_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_TEXT = "text"


def to_json(value: object) -> str | None:
    """Returns a value as JSON; None if JSON would not give back exactly the same value."""
    try:
        text = msgspec.json.encode(_shielded(value)).decode()
        return text if repr(from_json(text)) == repr(value) else None
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError, OverflowError):
        return None


def from_json(text: str) -> Any:
    """Returns the value of a text that `to_json` made."""
    value = msgspec.json.decode(text)
    if '"NaN"' in text or 'Infinity"' in text or f'{{"{_TEXT}":' in text:
        return _bare(value)
    return value


def _shielded(value: object) -> object:
    match value:
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case str() if value in _WORDS:
            return {_TEXT: value}
        case dict() if value.keys() == {_TEXT}:
            return {_TEXT: {_TEXT: _shielded(value[_TEXT])}}
        case dict():
            return {key: _shielded(one) for key, one in value.items()}
        case list() | tuple():
            return [_shielded(one) for one in value]
    return value


def _bare(value: Any) -> Any:
    match value:
        case str():
            return _WORDS.get(value, value)
        case dict() if value.keys() == {_TEXT}:
            inner = value[_TEXT]
            if isinstance(inner, dict) and inner.keys() == {_TEXT}:
                return {_TEXT: _bare(inner[_TEXT])}
            return inner
        case dict():
            return {key: _bare(one) for key, one in value.items()}
        case list():
            return [_bare(one) for one in value]
    return value
