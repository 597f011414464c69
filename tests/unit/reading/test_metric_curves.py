"""Metrics that several processes log: a line for each, or a band; never one line that zigzags."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from unit.reading.run_files import make_run

from expman.errors import ConfigError
from expman.reading.metric_curves import BAND, curves, metric_lines
from expman.reading.producer_rows import ProducerChoice
from expman.storage.rows import RowBlock

BEGIN_NS = 1_700_000_000_000_000_000


def rows(
    producer: str,
    values: list[float],
    *,
    rank: int | None = None,
    metric: str = "loss",
    steps: list[int | None] | None = None,
    first: int = 0,
) -> RowBlock:
    """Rows of one producer, one for each value."""
    return RowBlock(
        producer=producer,
        first_seq=first,
        steps=list(range(first, first + len(values))) if steps is None else steps,
        timestamps_ns=[BEGIN_NS + number for number in range(len(values))],
        keys=(metric,),
        columns=[values],
        fixed={} if rank is None else {"_rank": rank},
    )


def job(base: Path, count: int, steps: int = 20) -> Path:
    """Ranks in one run, whose rows come in turn; the loss of rank r is 10 r + step."""
    blocks = [
        rows("main" if r == 0 else f"rank-{r}", [10.0 * r + first], rank=r, first=first)
        for first in range(steps)
        for r in range(count)
    ]
    return make_run(base, "job", *blocks)


@pytest.mark.parametrize("by", ["process", "band"])
def test_steps_that_are_times(tmp_path: Path, by: Literal["process", "band"]) -> None:
    """In nanoseconds they are beyond the integers that a float has, which costs digits alone."""
    steps: list[int | None] = [BEGIN_NS + 1, BEGIN_NS + 1_000_001]
    blocks = [rows(name, [1.0, 2.0], steps=steps) for name in ("main", "worker-1")]
    run_dir = str(make_run(tmp_path, "run", *blocks))
    drawn = metric_lines(run_dir, ["loss"], points=10, by=by)["loss"].curves
    assert all([1.0, 2.0] == curve.y for curve in drawn.values())
    assert all(curve.x == pytest.approx(steps) for curve in drawn.values())


def test_each_rank_has_a_line(tmp_path: Path) -> None:
    """Of a few ranks: each line has the values of one rank, and the title says how many."""
    found = metric_lines(str(job(tmp_path, 3)), ["loss"], points=100)["loss"]
    assert ("3 ranks", ["rank 0", "rank 1", "rank 2"]) == (found.of, list(found.curves))
    for rank, curve in enumerate(found.curves.values()):
        assert [10.0 * rank + step for step in range(20)] == curve.y
        assert list(map(float, range(20))) == curve.x


def test_many_ranks_are_a_band(tmp_path: Path) -> None:
    """Greatest, median and least of each step; a line for each if somebody wants that."""
    run_dir = str(job(tmp_path, 9))
    found = metric_lines(run_dir, ["loss"], points=100)["loss"]
    assert ("9 ranks: greatest, median, least", BAND) == (found.of, tuple(found.curves))
    for label, rank in zip(BAND, (8, 4, 0), strict=True):
        assert [10.0 * rank + step for step in range(20)] == found.curves[label].y
    each = metric_lines(run_dir, ["loss"], points=100, by="process")["loss"]
    assert (9, "9 ranks") == (len(each.curves), each.of)
    band = metric_lines(str(job(tmp_path / "few", 2)), ["loss"], points=9, by="band")["loss"]
    assert BAND == tuple(band.curves)


def test_a_long_band_keeps_its_ends(tmp_path: Path) -> None:
    """A point of many steps has the greatest and the least of all its values."""
    spike = [0.0] * 1000
    spike[777] = 99.0
    run_dir = make_run(
        tmp_path, "r", rows("main", spike, rank=0), rows("rank-1", [1.0] * 1000, rank=1)
    )
    found = metric_lines(str(run_dir), ["loss"], points=50, by="band")["loss"].curves
    assert [50] * 3 == [len(curve.y) for curve in found.values()]
    assert (99.0, 0.0) == (max(found["greatest"].y), min(found["least"].y))
    assert all(a < b for a, b in pairwise(found["median"].x))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_small_curves_are_medians(tmp_path: Path, count: int) -> None:
    """They say of how many, and where these have got; that of one process says nothing."""
    curve = curves(str(job(tmp_path, count)), points=30)["loss"]
    median = statistics.median(10.0 * rank for rank in range(count))
    assert [median + step for step in range(20)] == curve.y
    expected = f"median of {count} ranks, last values 19 to {10 * count + 9}"
    assert (expected if count > 1 else "") == curve.remark


def test_processes_without_ranks(tmp_path: Path) -> None:
    """They have their names, in the order of their numbers; the owner is first."""
    names = [f"worker-{number}" for number in (10, 2, 0)]
    run_dir = make_run(tmp_path, "r", *(rows(name, [1.0]) for name in names), rows("main", [2.0]))
    found = metric_lines(str(run_dir), ["loss"], points=9)["loss"]
    assert ["main", "worker-0", "worker-2", "worker-10"] == list(found.curves)
    assert "4 processes" == found.of


def test_only_those_who_have_logged_a_metric(tmp_path: Path) -> None:
    """A metric of one process is one line; its steps are its own, whatever others log without."""
    run_dir = make_run(
        tmp_path,
        "r",
        rows("main", [3.0, 2.0, 1.0], steps=[10, 20, 30]),
        rows("worker-0", [0.1, 0.2], metric="load_s", steps=[None, None]),
    )
    found = metric_lines(str(run_dir), ["loss", "load_s"], points=9)
    assert ("", [10.0, 20.0, 30.0]) == (found["loss"].of, found["loss"].curves["main"].x)
    assert ("worker-0", [0.0, 1.0]) == (found["load_s"].of, found["load_s"].curves["worker-0"].x)
    assert [10.0, 20.0, 30.0] == curves(str(run_dir))["loss"].x


def test_some_are_chosen(tmp_path: Path) -> None:
    """By rank or by name; one that is not there is named, with those that are."""
    run_dir = str(job(tmp_path, 4))
    one = metric_lines(run_dir, ["loss"], points=30, choice=ProducerChoice(ranks=[2]))["loss"]
    assert ("rank 2", [20.0]) == (one.of, one.curves["rank 2"].y[:1])
    two = metric_lines(
        run_dir, ["loss"], points=30, choice=ProducerChoice(ranks=[0], names=["*-3"])
    )
    assert ["rank 0", "rank 3"] == list(two["loss"].curves)
    with pytest.raises(ConfigError, match="has rows of ranks 0 to 3"):
        metric_lines(run_dir, ["loss"], points=30, choice=ProducerChoice(ranks=[4]))
    with pytest.raises(ConfigError, match="has rows of main, rank-1, rank-2, rank-3"):
        metric_lines(run_dir, ["loss"], points=30, choice=ProducerChoice(names=["worker-*"]))


def test_what_is_not_finite_is_counted_once(tmp_path: Path) -> None:
    """In a band, too: it does not count as a value of a rank."""
    run_dir = make_run(
        tmp_path,
        "r",
        rows("main", [1.0, math.nan, 3.0], rank=0),
        rows("rank-1", [5.0, 6.0, math.inf], rank=1),
    )
    band = metric_lines(str(run_dir), ["loss"], points=9, by="band")["loss"].curves
    assert [[5.0, 6.0, 3.0], [3.0, 6.0, 3.0], [1.0, 6.0, 3.0]] == [band[label].y for label in BAND]
    assert 2 == sum(curve.left_out for curve in band.values())
    assert [1.0, 2.0] == list(band["median"].odd)


def test_huge_values(tmp_path: Path) -> None:
    """The median of values near the end of the range is not infinite."""
    run_dir = make_run(
        tmp_path, "r", rows("main", [1.7e308], rank=0), rows("rank-1", [1.6e308], rank=1)
    )
    assert [pytest.approx(1.65e308)] == curves(str(run_dir))["loss"].y
