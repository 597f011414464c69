"""JSON as the page reads it: NaN and infinities are texts, times are seconds since the epoch."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping

import msgspec

from expman.models import safe_text

__all__ = ["encode", "plain", "seconds"]

_EXACT = 2**53
"""Beyond it JavaScript does not know every integer; such ones become texts."""
_DEEPEST = 100


def encode(value: object) -> bytes:
    """Returns the value as JSON."""
    return msgspec.json.encode(plain(value))


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
