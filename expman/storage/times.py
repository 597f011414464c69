"""Times as run.yaml has them: RFC 3339 in UTC, to the nanosecond."""

from __future__ import annotations

import datetime
import re

__all__ = ["iso", "parse_time", "seconds_between", "since_epoch_ns"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_NANOSECONDS = re.compile(r"(\.\d{6})\d+")


def iso(time_ns: int) -> str:
    """A moment, in nanoseconds since the Unix epoch, as text."""
    moment = datetime.datetime.fromtimestamp(time_ns // 10**9, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % 10**9:09d}Z"


def parse_time(text: str | None) -> datetime.datetime | None:
    """A time of run.yaml, to the microsecond, UTC if it names no zone; None if it is none."""
    if not text:
        return None
    try:
        moment = datetime.datetime.fromisoformat(_NANOSECONDS.sub(r"\1", text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def since_epoch_ns(text: str | None) -> int:
    """Returns a time of run.yaml as nanoseconds since the Unix epoch; 0 if it is not a time."""
    moment = parse_time(text)
    return 0 if moment is None else (moment - _EPOCH) // _MICROSECOND * 1000


def seconds_between(start: str | None, end: str | None) -> float | None:
    """Seconds from one time of run.yaml to another, to the millisecond; None if one is none."""
    first, last = parse_time(start), parse_time(end)
    if first is None or last is None:
        return None
    return max(0.0, round((last - first).total_seconds(), 3))
