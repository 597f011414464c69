"""Values as filters write them, and their comparison with values of runs."""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass

__all__ = ["Literal", "compare", "is_moment", "is_span"]

_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?inf|nan", re.IGNORECASE)
_MOST_DIGITS = 1000
"""Python refuses to read integers of several thousand digits."""
_WHOLE = re.compile(r"[-+]?\d+")


@dataclass(frozen=True)
class Literal:
    """A value in a filter.

    Attributes:
        text: as it stands there, without quotes.
        quoted: whether it stood in quotes; then it is a text.
        start, end: where it stands.
    """

    text: str
    quoted: bool
    start: int
    end: int

    @property
    def is_null(self) -> bool:
        """Whether it stands for the absence of a value."""
        return not self.quoted and self.text.lower() in ("null", "none")

    @property
    def number(self) -> int | float | None:
        """The number that it is; None if it is none."""
        if self.quoted or not _NUMBER.fullmatch(self.text):
            return None
        is_whole = _WHOLE.fullmatch(self.text) and len(self.text) < _MOST_DIGITS
        return int(self.text) if is_whole else float(self.text)

    @property
    def truth(self) -> bool | None:
        """True or False if it is one of these words."""
        return None if self.quoted else {"true": True, "false": False}.get(self.text.lower())

    @property
    def span_s(self) -> float | None:
        """The seconds of a number, or of a span of time such as `90m`."""
        age = _AGE.fullmatch(self.text)
        if age is not None:
            return float(age[1]) * _UNIT_S[age[2]]
        number = self.number
        return None if number is None else float(number)

    def moments(self) -> tuple[datetime.datetime, datetime.datetime] | None:
        """The first moment that it means and the first one after; a date means the whole day."""
        age = _AGE.fullmatch(self.text)
        try:
            if age is not None:
                span = datetime.timedelta(seconds=float(age[1]) * _UNIT_S[age[2]])
                moment = datetime.datetime.now(datetime.UTC) - span
                return moment, moment
            start = datetime.datetime.fromisoformat(self.text)
            is_day = _DATE.fullmatch(self.text) is not None
            end = start + datetime.timedelta(days=1) if is_day else start
            return start.astimezone(), end.astimezone()
        except (ValueError, OverflowError, OSError):
            return None


def is_moment(literal: Literal) -> bool:
    """Returns whether a literal can be compared with a time."""
    return literal.is_null or literal.moments() is not None


def is_span(literal: Literal) -> bool:
    """Returns whether a literal can be compared with a duration."""
    return literal.is_null or literal.span_s is not None


def compare(value: object, operator: str, literal: Literal) -> bool:
    """Returns whether a value of a run and a literal fulfil an operator.

    Nothing but null equals the absence of a value, or an empty list; nothing is less or greater.

    Args:
        value: of the run; None if it has none. Of a list of texts, one must fulfil `=` or `~`.
        operator: `=`, `<`, `<=`, `>`, `>=` or `~`, "contains".
        literal: what it is compared with.
    """
    if literal.is_null:
        return operator == "=" and (value is None or value == [])
    match value:
        case None:
            return False
        case list() if all(isinstance(one, str) for one in value):
            return any(compare(one, operator, literal) for one in value)
        case datetime.datetime():
            return operator != "~" and _time(value, operator, literal)
        case _ if operator == "~":
            return literal.text.lower() in str(value).lower()
        case bool():
            return operator == "=" and value is literal.truth
        case int() | float():
            number = literal.number
            return number is not None and _numbers(value, operator, number)
        case str():
            return _ordered(value, operator, literal.text)
    return operator == "=" and str(value) == literal.text


def _numbers(value: float, operator: str, number: float) -> bool:
    if isinstance(value, float) and math.isnan(value):
        return operator == "=" and math.isnan(number)
    return _ordered(value, operator, number)


def _ordered(value: object, operator: str, other: object) -> bool:
    match operator:
        case "=":
            return value == other
        case "<":
            return value < other  # type: ignore[operator,no-any-return]
        case "<=":
            return value <= other  # type: ignore[operator,no-any-return]
        case ">":
            return value > other  # type: ignore[operator,no-any-return]
    return value >= other  # type: ignore[operator,no-any-return]


def _time(value: datetime.datetime, operator: str, literal: Literal) -> bool:
    found = literal.moments()
    if found is None:
        return False
    start, end = found
    match operator:
        case "=":
            return start <= value < end or value == start
        case "<":
            return value < start
        case "<=":
            return value < end or value == end == start
        case ">":
            return value >= end and not value == end == start
    return value >= start
