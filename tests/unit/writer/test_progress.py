"""How far a producer is, by sets of metrics."""

from __future__ import annotations

import random

import pytest

from expman.transport import records as wire
from expman.writer.progress import MOST_SETS, RECENT_ROWS, Progress

NAMES = {0: ("loss",), 1: ("accuracy", "loss"), 2: ("lr",)}


@pytest.mark.parametrize("seed", range(10))
def test_mixed_rows_are_as_single_ones(seed: int) -> None:
    """Rows of several sets in turn leave what they would leave one after the other."""
    dice = random.Random(seed)
    rows = [
        wire.Vector(
            ordinal=number,
            logged_at_ns=number,
            step=dice.choice([None, number]),
            schema=dice.randint(0, 2),
            values=(),
        )
        for number in range(1, dice.randint(2, 40))
    ]
    single, mixed = Progress(), Progress()
    for row in rows:
        single.note(NAMES[row.schema], [row.step], [row.logged_at_ns], 1)
    mixed.note_mixed(rows, NAMES)
    assert (single.rows, single.at_ns) == (mixed.rows, mixed.at_ns)
    assert list(single.sets) == list(mixed.sets)
    for names, one in single.sets.items():
        two = mixed.sets[names]
        assert (one.step, one.stride, one.at_ns) == (two.step, two.stride, two.at_ns)
        assert (one.began_ns, one.count) == (two.began_ns, two.count)


def test_what_is_not_logged_any_more_is_not_recent() -> None:
    """Nor is its step compared; with ever new names, memory is bounded."""
    progress = Progress()
    progress.note(("once",), [0], [1], 1)
    assert {("once",): 0} == progress.steps()
    progress.note(("loss",), [8, 9], [8, 9], RECENT_ROWS + 1)
    assert {("loss",): 9} == progress.steps()
    for number in range(MOST_SETS):
        progress.note((f"new{number}",), [number], [10], 1)
    assert MOST_SETS == len(progress.sets)
    assert ("once",) not in progress.sets


def test_a_long_pause_begins_anew() -> None:
    """One that is usual does not, nor does that between two rows."""
    progress = Progress()
    for at_s in (0, 60, 120, 200):
        progress.note(("loss",), [at_s], [at_s * 10**9], 1)
    assert (0, 4) == (progress.sets["loss",].began_ns, progress.sets["loss",].count)
    progress.note(("loss",), [1000, 1001], [10**12, 10**12 + 1], 2)
    assert (10**12, 2) == (progress.sets["loss",].began_ns, progress.sets["loss",].count)
