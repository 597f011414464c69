"""Filters of any text: understood, or refused with a place; what is quoted comes back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expman.errors import ConfigError
from expman.reading.differences import distinct
from expman.reading.filter_values import Literal, compare
from expman.reading.filters import RunFilter

PIECES = [
    *("lr", "loss:min", "status", "started", "took", "tags", '"a b"', "params.'x'", "and", "or"),
    *("not", "in", "(", ")", ",", "=", "==", "!=", "<", "<=", ">", ">=", "~", "!~", "&&", "||"),
    *("!", "0.1", "-1e5", "nan", "inf", "null", "true", "finished", "7d", "2026-01-31", "'", "\\"),
    *("9" * 5000, "1" * 400 + "d", "9999-12-31", "0001-01-01", "\x1b", "名前", " "),
]
texts = st.one_of(
    st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join)
)
values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10), st.lists(st.text())
)


def mistake_in(text: str) -> str | None:
    """What is wrong with a filter; None if it is understood."""
    try:
        RunFilter(text)
    except ConfigError as exc:
        return exc.rule
    return None


@given(texts)
def test_any_text_is_a_filter_or_a_mistake(text: str) -> None:
    """No other error comes, and the message drives no terminal."""
    mistake = mistake_in(text)
    assert mistake is None or ("^" in mistake and "\x1b" not in mistake)


@given(values, st.sampled_from(["=", "<", "<=", ">", ">=", "~"]), st.sampled_from(PIECES))
def test_any_value_can_be_compared(value: object, operator: str, text: str) -> None:
    """Whatever the types are; nothing is less or greater than what is not there."""
    for quoted in (True, False):
        found = compare(value, operator, Literal(text, quoted, 0, 0))
        assert isinstance(found, bool)
        if value is None and operator != "=":
            assert not found


@given(st.text(max_size=20))
def test_a_quoted_value_is_that_text(text: str) -> None:
    """A backslash before quotes and backslashes keeps any text."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    test = RunFilter(f'description = "{escaped}"')._test

    assert test({"description": text}.get)
    assert not test({"description": text + "x"}.get)


@given(st.lists(st.floats(), max_size=30))
def test_numbers_that_differ_look_different(numbers: list[float]) -> None:
    """And equal ones look the same."""
    shown = distinct(numbers)
    for first, text in zip(numbers, shown, strict=True):
        for second, other in zip(numbers, shown, strict=True):
            both_nan = math.isnan(first) and math.isnan(second)
            assert (text == other) == (repr(first) == repr(second) or both_nan)


@pytest.mark.parametrize(
    "text", ["(" * 1000, "not " * 1000 + "a = 1", "a = 1 and " * 2000 + "a = 1"]
)
def test_deep_and_long_filters(text: str) -> None:
    """They are refused, or understood, without a stack overflow."""
    mistake = mistake_in(text)
    assert mistake is None or "levels" in mistake
