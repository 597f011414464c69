"""Values side by side: what differs looks different, what is the same does not count."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expman.reading.differences import ABSENT, differ, distinct

LONG = "a" * 5000
ALIKE = [0.00012341, 0.00012344, 1, 1.0, "1", True, "True", None, "null", ABSENT, "–", math.nan]
ALIKE += ["nan", [1], [1.0], [True], {"a": 1}, {"a": 1.0}, 2**53, 2**53 + 1, float(2**53), 0.0]
ALIKE += [-0.0]
ALIKE += [LONG + "x", LONG + "y", LONG + "y" + LONG + "1", LONG + "y" + LONG + "2", "a b", "a\nb"]
ALIKE += ["a\x1b", "a\\x1b", 123456.7, 123456.8, "2026-01-31", [{"a": [LONG + "1"]}]]


@pytest.mark.parametrize(("one", "other"), list(combinations(ALIKE, 2)), ids=lambda v: repr(v)[:20])
def test_two_values_that_differ_look_different(one: object, other: object) -> None:
    """In kind, in the last digit, or far behind in a long text."""
    assert differ([one, other])
    first, second = distinct([one, other])
    assert first != second


def test_many_values_look_different_and_stay_short() -> None:
    """Also where some of them have more in common than others."""
    shown = distinct(ALIKE)

    assert len(ALIKE) == len(set(shown))
    assert max(map(len, shown)) < 600


def test_what_is_the_same() -> None:
    """NaN is NaN, and the order of a mapping does not count; four digits are enough then."""
    assert not differ([math.nan, float("nan")])
    assert not differ([{"a": 1, "b": 2}, {"b": 2, "a": 1}])
    assert ["0.3333", "0.3333", "–"] == distinct([1 / 3, 1 / 3, ABSENT])


values = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text("ab \x1b\\", max_size=8)),
    st.lists(st.one_of(st.integers(0, 2), st.floats(0, 2), st.booleans()), max_size=3),
)


@given(st.lists(values, min_size=2, max_size=6))
def test_any_values(found: list[object]) -> None:
    """Texts are equal exactly where values are the same."""
    shown = distinct(found)

    for (one, text), (other, other_text) in combinations(zip(found, shown, strict=True), 2):
        assert differ([one, other]) == (text != other_text)
