"""Rows in memory: the latest value of each metric, and blocks that become one batch."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import pytest

from expman.models import MetricValue
from expman.storage.columns import Columns
from expman.storage.pending import PendingRows
from expman.storage.rows import RowBlock, build_columns

KEYS = ("a", "b")
Column = Sequence[MetricValue | None]


def floats(*values: float) -> memoryview:
    return memoryview(array("d", values))


def block(first: int, a: Column, b: Column, producer: str = "main") -> RowBlock:
    count = len(a)
    return RowBlock(producer, first, [None] * count, [first] * count, KEYS, [a, b])


BLOCKS = [
    block(0, [1.0, None], ["x", None]),
    block(2, floats(2.0, 3.0), floats(5.0, 6.0)),
    block(4, floats(4.0), floats(float("nan"))),
    block(5, [None, None], [None, "y" * 2000]),
]


@pytest.mark.parametrize("removed", range(5))
@pytest.mark.parametrize("asked_after", range(5))
def test_latest_values(asked_after: int, removed: int) -> None:
    """Each metric has its latest value, whenever somebody asks and however much was written."""
    pending = PendingRows({}, {"old": 1})
    for number, one in enumerate(BLOCKS):
        if number == asked_after:
            assert 1 == pending.latest["old"]
        pending.append(one)
    pending.remove_first(removed)
    assert ["old", "a", "b"] == list(pending.latest)
    assert 4.0 == pending.latest["a"]
    assert str(pending.latest["b"]).startswith("yyy")
    assert sum(len(one.steps) for one in BLOCKS[removed:]) == pending.rows


def test_halves_of_a_block_are_noted_once() -> None:
    """A block that is split, written and followed by another leaves the latest value right."""
    pending = PendingRows({}, {})
    pending.append(BLOCKS[1])
    assert 3.0 == pending.latest["a"]
    pending.replace_first(block(2, floats(2.0), floats(5.0)), block(3, floats(3.0), floats(6.0)))
    pending.remove_first(1)
    pending.append(BLOCKS[2])
    pending.remove_first(2)
    assert 4.0 == pending.latest["a"]


def test_blocks_of_the_same_names_become_one_batch() -> None:
    """Values, producers and seqs are those of the blocks, in order, absent values included."""
    blocks = [*BLOCKS, block(9, floats(7.0), floats(8.0)), block(0, [1], [2], "worker-0")]
    (_, _, producers, seqs), found = build_columns(blocks, Columns(), lambda *_: None)
    assert ["main"] * 8 + ["worker-0"] == producers.to_pylist()
    assert [*range(7), 9, 0] == seqs.to_pylist()
    assert [1.0, None, 2.0, 3.0, 4.0, None, None, 7.0, 1.0] == found["a"].to_pylist()
    assert ["x", None, None, None, None, None, "y" * 2000, None, None] == found["b"].to_pylist()
    numbers = found["b__num"].to_pylist()
    assert [None, None, 5.0, 6.0] == numbers[:4]
    assert [None, None, 8.0, 2.0] == numbers[5:]
