"""Check of timeouts."""

from __future__ import annotations

import math

__all__ = ["seconds"]


def seconds(timeout_s: object) -> float:
    """A timeout as a number: None and inf set no limit, and less than 0 is 0.

    Raises:
        TypeError: it is not a number.
        ValueError: it is NaN.
    """
    if timeout_s is None:
        return math.inf
    try:
        if isinstance(timeout_s, bool | str | bytes | bytearray):
            raise TypeError
        limit_s = float(timeout_s)  # type: ignore[arg-type]
    except OverflowError:
        return math.inf if timeout_s > 0 else 0.0  # type: ignore[operator]
    except TypeError:
        raise TypeError(
            f"timeout_s {timeout_s!r} is {type(timeout_s).__name__}; pass a number of seconds, "
            "or None to wait without a limit"
        ) from None
    if math.isnan(limit_s):
        raise ValueError("timeout_s is NaN; pass a number of seconds, or None to wait without one")
    return max(0.0, limit_s)
