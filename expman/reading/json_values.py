"""Values of runs as plain JSON, for everybody's readers."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping

__all__ = ["json_value"]


def json_value(value: object) -> object:
    """Returns a value as JSON can hold it: NaN and infinities as null, times in ISO 8601."""
    match value:
        case Mapping():
            return {str(key): json_value(item) for key, item in value.items()}
        case list() | tuple():
            return [json_value(item) for item in value]
        case float():
            return value if math.isfinite(value) else None
        case datetime.datetime() | datetime.date():
            return value.isoformat()
        case datetime.timedelta():
            return value.total_seconds()
        case None | bool() | int() | str():
            return value
    return str(value)
