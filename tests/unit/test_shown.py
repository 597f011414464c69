"""Texts for messages."""

from __future__ import annotations

import pytest

from expman.shown import count_of


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (12345, "12,345 rows")]
)
def test_a_number_with_its_noun(number: int, expected: str) -> None:
    """One has no s; thousands are set apart."""
    assert expected == count_of(number, "row")


def test_a_noun_with_its_verb() -> None:
    """Where more than an s differs, both forms are given."""
    forms = ("row is missing", "rows are missing")
    assert ["1 row is missing", "2 rows are missing"] == [count_of(n, *forms) for n in (1, 2)]
