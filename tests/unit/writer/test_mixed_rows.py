"""Rows of several sets of names in turn become one block, with nothing lost or moved."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from expman.transport import records as wire
from expman.writer.sinks import mixed_rows
from expman.writer.sinks.mixed_rows import MAX_NAMES, mix, parts_in_turn

SCHEMAS = {
    0: ("loss", "acc"),
    1: ("val_loss",),
    2: ("loss", "lr", "text"),
    3: (),
    9: tuple(f"m{number}" for number in range(MAX_NAMES + 1)),
}
VALUES = st.one_of(st.floats(allow_nan=False), st.integers(), st.booleans(), st.text(max_size=3))


def row(number: int, schema: int, values: list[Any]) -> wire.Vector:
    return wire.Vector(number, 1000 + number, number * 10 or None, schema, tuple(values))


@st.composite
def rows_in_turn(draw: st.DrawFn) -> list[wire.Vector]:
    pattern = draw(st.lists(st.sampled_from([0, 1, 2, 3]), min_size=1, max_size=40))
    schemas = pattern * draw(st.integers(1, 3))
    return [
        row(number, schema, [draw(VALUES) for _ in SCHEMAS[schema]])
        for number, schema in enumerate(schemas)
    ]


@given(rows_in_turn())
def test_each_row_has_its_values_and_no_others(rows: list[wire.Vector]) -> None:
    """The block has the rows in log order, with None where a row has no such name."""
    mixed = mix(rows, SCHEMAS)
    if mixed is None:
        schemas = [one.schema for one in rows]
        changes = sum(a != b for a, b in pairwise(schemas))
        assert len(rows) < mixed_rows.LEAST_ROWS or changes * mixed_rows.SHORT < len(rows)
        return
    assert [one.step for one in rows] == mixed.steps
    assert [one.logged_at_ns for one in rows] == mixed.times
    for place, one in enumerate(rows):
        own = dict(zip(SCHEMAS[one.schema], one.values, strict=True))
        found = {key: column[place] for key, column in zip(mixed.keys, mixed.columns, strict=True)}
        assert {key: own.get(key) for key in mixed.keys} == found
        assert {key: type(value) for key, value in own.items()} == {
            key: type(found[key]) for key in own
        }


def test_rows_that_do_not_fit_together_are_left_to_the_usual_way() -> None:
    """Rows that hardly alternate, of unknown or many names, or with too many or too few values."""
    good = [row(number, number % 2, [1.0, 2.0][: 2 - number % 2]) for number in range(16)]
    long = [row(number, number // 64, [1.0, 2.0][: 2 - number // 64]) for number in range(128)]

    assert mix(good, SCHEMAS) is not None
    assert mix(good[:7], SCHEMAS) is None
    assert mix(long, SCHEMAS) is None
    assert mix([*good, row(16, 7, [1.0])], SCHEMAS) is None
    assert mix([*good, row(16, 0, [1.0])], SCHEMAS) is None
    assert mix([*good, row(16, 0, [1.0, 2.0, 3.0])], SCHEMAS) is None
    assert mix([*good, row(16, 9, [1.0] * (MAX_NAMES + 1))], SCHEMAS) is None


def test_a_block_has_a_bounded_number_of_cells(monkeypatch: Any) -> None:
    """Rows come in parts, so that few values among many names take no more memory than a row's."""
    monkeypatch.setattr(mixed_rows, "MAX_CELLS", 60)
    rows = [row(number, number % 2, [1.0, 2.0][: 2 - number % 2]) for number in range(50)]

    parts = list(parts_in_turn(rows, SCHEMAS))

    assert [20, 20, 10] == [*map(len, parts)]
    assert rows == [one for part in parts for one in part]
