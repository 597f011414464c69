"""JSON as the page reads it: NaN and infinities are texts, times are seconds since the epoch."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping

import msgspec

from expman.models import safe_text

__all__ = ["encode", "flat", "plain", "seconds"]

_EXACT = 2**53
"""Beyond it JavaScript does not know every integer; such ones become texts."""
_DEEPEST = 100


def encode(value: object) -> bytes:
    """Returns the value as JSON."""
    return msgspec.json.encode(plain(value))


def flat(values: Mapping[str, object], longest: int) -> dict[str, object]:
    """Returns a mapping of mostly numbers and short texts as `plain` does, in half the time."""
    found: dict[str, object] = {}
    for key, value in values.items():
        kind = type(value)
        if kind is float:
            if value - value != 0.0:  # type: ignore[operator]
                value = _name_of(value)  # type: ignore[arg-type]
        elif kind is str:
            if not value.isascii() or len(value) > longest:  # type: ignore[attr-defined,arg-type]
                value = plain(value, longest)
        elif value is not None and kind is not bool:
            value = plain(value, longest)
        found[key if key.isascii() else safe_text(key)] = value
    return found


def plain(value: object, longest: int | None = None, depth: int = 0) -> object:
    """Returns the value in the types that JSON has.

    Args:
        value: anything that a file of a run may hold.
        longest: longer texts are cut there, and end with `…`.
        depth: how deep it is nested so far.
    """
    match value:
        case None | bool():
            return value
        case str():
            if longest is not None and len(value) > longest:
                value = value[:longest] + "…"
            return safe_text(value)
        case int():
            return int(value) if -_EXACT <= value <= _EXACT else str(value)
        case float():
            return value if math.isfinite(value) else _name_of(value)
        case datetime.datetime():
            return seconds(value)
        case datetime.timedelta():
            return value.total_seconds()
        case msgspec.Raw():
            return value
        case msgspec.Struct():
            fields = {name: getattr(value, name) for name in value.__struct_fields__}
            return plain(fields, longest, depth)
    if depth > _DEEPEST:
        return "…"
    match value:
        case Mapping():
            return {
                safe_text(str(key)): plain(item, longest, depth + 1) for key, item in value.items()
            }
        case list() | tuple():
            return [plain(item, longest, depth + 1) for item in value]
    return plain(str(value), longest, depth)


def _name_of(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def seconds(moment: datetime.datetime | None) -> float | None:
    """Returns a moment as seconds since the epoch; one without a zone is in UTC."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()
