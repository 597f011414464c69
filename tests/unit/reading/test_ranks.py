"""A job over ranks: each step over all of them, and who is behind."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from unit.reading.run_files import make_run

from expman import Run
from expman.errors import ConfigError
from expman.models import Rank
from expman.reading import ranks
from expman.reading.job_producers import job_producers
from expman.reading.ranks import over_ranks, ranks_of
from expman.reading.stored_rollup import read_rollup
from expman.storage import rank_file
from expman.storage.rank_file import RankFile
from expman.storage.rows import RowBlock

BEGIN_NS = 1_700_000_000_000_000_000


def rows_of(rank: int, seconds: list[float], loss: list[float]) -> RowBlock:
    """A row for each step, at these seconds."""
    count = len(seconds)
    return RowBlock(
        producer="main" if rank == 0 else f"rank-{rank}",
        first_seq=0,
        steps=list(range(count)),
        timestamps_ns=[BEGIN_NS + int(at * 1e9) for at in seconds],
        keys=("loss",),
        columns=[loss],
        fixed={"_rank": rank},
    )


def job(base: Path, seconds: dict[int, list[float]], *, together: bool) -> Run:
    """A job whose ranks log a step at these seconds; the loss of rank r is 10 r + step."""
    blocks = {
        rank: rows_of(rank, times, [10.0 * rank + step for step in range(len(times))])
        for rank, times in seconds.items()
    }
    if together:
        place = Rank(rank=0, world_size=len(seconds))
        return Run(make_run(base, "job", *blocks.values(), rank=place, group="g"))
    for rank, block in blocks.items():
        place = Rank(rank=rank, world_size=len(seconds))
        name = "job" if rank == 0 else f"job-rank{rank}"
        make_run(base, name, block, rank=place, group="g")
    make_run(base, "other", blocks[0], rank=Rank(rank=0, world_size=9), group="g")
    return Run(base / "exp" / "job")


@pytest.mark.parametrize("together", [True, False])
def test_the_slowest_rank_is_named(tmp_path: Path, together: bool) -> None:
    """Its steps take longer; another rank's clock, which is an hour ahead, does not count."""
    fast = [float(step) for step in range(20)]
    slow = [1.5 * step for step in range(20)]
    ahead = [3600.0 + step for step in range(20)]
    run = job(tmp_path, {0: fast, 1: slow, 2: ahead, 3: fast}, together=together)
    found = ranks_of(run)
    assert (1, 1.0) == (found.slowest, found.slowest_share)
    assert 0.5 == pytest.approx(found.slowest_s)
    assert [
        "rank 1 is the slowest: the last one in 100% of the steps, 0.5 s after the median",
    ] == found.sentences()


@pytest.mark.parametrize("together", [True, False])
def test_a_rank_that_stands_still_is_behind(tmp_path: Path, together: bool) -> None:
    """With its last step, also if that is long ago."""
    fast = [0.1 * step for step in range(500)]
    run = job(tmp_path, {0: fast, 1: fast[:12], 2: fast}, together=together)
    found = ranks_of(run)
    assert {0: 499, 1: 11, 2: 499} == found.steps
    assert None is found.slowest
    assert [] == found.sentences()
    assert [499, 11, 499] == [one.last_step for one in job_producers(run)]


@pytest.mark.parametrize("together", [True, False])
def test_each_step_is_rolled_up_over_ranks(tmp_path: Path, together: bool) -> None:
    """Least, median and greatest value, and whose they are."""
    times = [0.0, 1.0, 2.0]
    run = job(tmp_path, {0: times, 1: times, 2: times[:2]}, together=together)
    table = over_ranks(run, ["loss"]).to_pylist()
    assert [0, 1, 2] == [row["step"] for row in table]
    assert [3, 3, 2] == [row["ranks"] for row in table]
    keys = ("min", "min_rank", "median", "max", "max_rank")
    assert (1.0, 0, 11.0, 21.0, 2) == tuple(table[1][f"loss:{key}"] for key in keys)
    assert (2.0, 0, 7.0, 12.0, 1) == tuple(table[2][f"loss:{key}"] for key in keys)
    with pytest.raises(ConfigError, match="no rank"):
        over_ranks(run, ["los"])


@pytest.mark.parametrize("first", [2**60 + 1, True, 0.5, "text"])
def test_runs_of_ranks_may_have_other_types(tmp_path: Path, first: float | str) -> None:
    """Integers of any size and floats are compared; texts do not count."""
    given: dict[int, list[Any]] = {0: [first], 1: [2**60 + 1], 2: [1.5]}
    for rank, values in given.items():
        place = Rank(rank=rank, world_size=3)
        make_run(tmp_path, f"job-rank{rank}", rows_of(rank, [0.0], values), rank=place, group="g")
    (row,) = over_ranks(Run(tmp_path / "exp" / "job-rank1"), ["loss"]).to_pylist()
    numbers = sorted(float(value) for (value,) in given.values() if not isinstance(value, str))
    middle = statistics.median(numbers)
    found = (row["loss:min"], row["loss:median"], row["loss:max"])
    assert (numbers[0], middle, numbers[-1]) == found


def test_a_run_without_ranks_has_none(tmp_path: Path) -> None:
    """Nothing is said of it."""
    run = Run(make_run(tmp_path, "alone"))
    assert [] == ranks_of(run).sentences()


def with_rollup(run: Run) -> Run:
    """The run, with the roll-up that its writer would make."""
    update = RankFile(run.path, 1).start()
    assert update.wait(120)
    assert update.temp is not None
    Path(update.temp).rename(Path(run.path, "ranks.parquet"))
    return run


def node(base: Path, number: int, *, rows_written: int | None = None) -> Run:
    """The run of a node with two ranks of four; rank 3 is slow."""
    first = 2 * number
    blocks = [
        rows_of(
            rank,
            [(1.5 if rank == 3 else 1.0) * step for step in range(300)],
            [10.0 * rank + step for step in range(300)],
        )
        for rank in (first, first + 1)
    ]
    run_dir = make_run(
        base,
        "job" if number == 0 else f"job-rank{first}",
        *blocks,
        rank=Rank(rank=first, world_size=4),
        group="g",
        rows_written=600 if rows_written is None else rows_written,
    )
    return Run(run_dir)


def test_roll_ups_of_nodes_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks reads a small file of each node, and finds what the rows say."""
    run, _ = with_rollup(node(tmp_path, 0)), with_rollup(node(tmp_path, 1))
    with monkeypatch.context() as patch:
        patch.setattr(ranks, "read_rollup", lambda *arguments: None)
        by_rows, slowest = over_ranks(run, ["loss"], last=None), ranks_of(run)
    monkeypatch.setattr(ranks, "read_vectors", None)
    found = over_ranks(run, ["loss"], last=None)
    assert 300 == found.num_rows
    assert by_rows.equals(found)
    assert by_rows.slice(100).equals(over_ranks(run, ["loss"]))
    assert (slowest.steps, slowest.slowest) == (ranks_of(run).steps, ranks_of(run).slowest)
    assert 3 == slowest.slowest


def test_a_roll_up_that_is_not_whole_is_not_used(tmp_path: Path) -> None:
    """Of a run that has ended it must have all rows, and be of its last attempt."""
    run = with_rollup(node(tmp_path, 0))
    assert read_rollup(run, ["loss"], None) is not None
    assert read_rollup(run, ["lr"], None) is None
    assert read_rollup(node(tmp_path, 0, rows_written=601), ["loss"], None) is None
    Path(run.path, "ranks.parquet").write_bytes(b"PAR1")
    assert read_rollup(node(tmp_path, 0), ["loss"], None) is None
    assert [0, 1] == [over_ranks(run, ["loss"])[f"loss:{end}_rank"][0].as_py() for end in ENDS]


def test_steps_of_validation_count_a_rank_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of training with the same numbers were rolled up long before: such a step has parts."""
    monkeypatch.setattr(rank_file, "LEAST_OPEN_ROWS", 64)
    monkeypatch.setattr(rank_file, "MOST_OPEN_CELLS", 64)
    training = [range(begin, begin + 20) for begin in range(0, 300, 20)]
    blocks = [
        msgspec.structs.replace(
            rows_of(rank, [at + step for step in steps], [loss + rank] * len(steps)),
            first_seq=at + steps[0],
            steps=list(steps),
        )
        for at, loss, steps in [*((0, 1.0, steps) for steps in training), (300, 9.0, range(3))]
        for rank in (0, 1)
    ]
    run_dir = make_run(tmp_path, "job", *blocks, rank=Rank(rank=0, world_size=2), rows_written=606)
    run = with_rollup(Run(run_dir))
    assert 303 == pq.read_metadata(Path(run.path, "ranks.parquet")).num_rows
    found = over_ranks(run, ["loss"], last=None).to_pylist()
    assert {2} == {row["ranks"] for row in found}
    assert [10.0, 10.0, 10.0, 2.0] == [row["loss:max"] for row in found[:4]]


ENDS = ("min", "max")
