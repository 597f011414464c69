"""Tag expressions: what expman-rs 1.3.0 was seen to answer, and what is refused."""

from __future__ import annotations

import pytest

from expman.errors import ConfigError
from expman.reading.tags import TagFilter

ALL = ["", "a", "ab", "abc", "ac", "b", "bc", "c"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a OR b AND c", ["abc", "ac", "bc"]),
        ("a AND b OR c", ["ab", "abc", "ac"]),
        ("a,b", ["ab", "abc"]),
        ("a|b", ["a", "ab", "abc", "ac", "b", "bc"]),
        ("a aNd b", ["ab", "abc"]),
        ("a b OR c", ["abc", "ac", "bc", "c"]),
        ("(a OR b) AND (b OR c)", ["ab", "abc", "ac", "b", "bc"]),
        ("a AND () AND", ["a", "ab", "abc", "ac"]),
        ("() OR a", ["a", "ab", "abc", "ac"]),
        ("(OR a)", ["a", "ab", "abc", "ac"]),
        ("a) OR b", ["ab", "abc", "b", "bc"]),
        ("(a AND b) OR (b AND c)", []),
        ("a AND (b OR (c AND a))", ["ab", "abc"]),
        ("'a' OR \"b\"", ["a", "ab", "abc", "ac", "b", "bc"]),
        ("NOT a", []),
        ("A", []),
        ("OR", ALL),
        ("\n", ALL),
    ],
)
def test_expressions_mean_what_expman_rs_takes_them_for(
    expression: str, expected: list[str]
) -> None:
    """Of runs tagged with each subset of a, b, c, the same ones are chosen."""
    chosen = TagFilter(expression, strict=False)

    assert expected == [tags for tags in ALL if chosen.matches(tags)]


@pytest.mark.parametrize("expression", ["(a AND b) OR (b AND c)", "NOT a", "a AND !b", "a(b)"])
def test_what_the_grammar_lacks_is_refused(expression: str) -> None:
    """An expression that would quietly mean something else raises, naming what can be said."""
    with pytest.raises(ConfigError, match=r"parentheses|no NOT"):
        TagFilter(expression)


def test_a_list_is_taken_literally() -> None:
    """Tags of a list must all be there, and are no expressions."""
    assert TagFilter(["a", "b"]).matches(["b", "a", "c"])
    assert not TagFilter(["a OR b"]).matches(["a"])
