"""Values that trackers keep as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from expman.models import MAX_NESTING

__all__ = ["flat", "is_shallow", "json_value", "plain_number"]

_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def json_value(text: str | bytes) -> object:
    """A value; what is not JSON, or nested too deep, is text.

    Some write NaN and the infinities as texts.
    """
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if not is_shallow(value):
        return text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return plain_number(value)


def is_shallow(value: object, levels: int = MAX_NESTING) -> bool:
    """Whether mappings and lists are nested no deeper than parameters may be."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, list):
        return True
    return levels > 0 and all(is_shallow(one, levels - 1) for one in value)


def plain_number(value: object) -> object:
    """The value; floats that were written as texts are floats, and no integer is endless."""
    if isinstance(value, str):
        return _FLOATS.get(value, value)
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 1000:
        return math.inf if value > 0 else -math.inf
    return value


def flat(values: Mapping[str, object], prefix: str) -> list[tuple[str, object]]:
    """Nested mappings with "/" between the names; one with a `_type` is a value, null is none."""
    found: list[tuple[str, object]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and "_type" not in value:
            found += flat(value, f"{name}/")
        elif value is not None:
            found.append((name, plain_number(value)))
    return found
