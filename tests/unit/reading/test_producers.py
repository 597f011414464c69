"""Who has logged into a run: rows, last step, process, and who is behind whom."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.reading.run_files import make_run
from unit.reading.test_metric_curves import BEGIN_NS, rows

import expman
from expman import ExperimentConfig, LoggingEngine, Run
from expman.models import Host, Rank, RunStatus
from expman.reading import producers as module
from expman.reading.job_producers import job_producers
from expman.reading.live_status import live_status
from expman.reading.producers import ProducerState

HOST = Host(hostname="node7", pid=41)


def job(base: Path, steps: dict[int, int], **metadata: object) -> Run:
    """Ranks in one run, that have got to these steps."""
    blocks = [
        rows("main" if rank == 0 else f"rank-{rank}", [1.0] * count, rank=rank)
        for rank, count in steps.items()
    ]
    place = Rank(rank=0, world_size=len(steps))
    return Run(make_run(base, "job", *blocks, rank=place, group="g", host=HOST, **metadata))


def by_label(found: list[ProducerState], field: str) -> dict[str, object]:
    return {one.label: getattr(one, field) for one in found}


def test_each_rank_has_its_rows_and_its_last_one(tmp_path: Path) -> None:
    """The owner comes first, with its process."""
    found = job(tmp_path, {0: 9, 2: 9, 1: 4}).producers()
    assert ["main", "rank-1", "rank-2"] == [one.name for one in found]
    assert {"rank 0": 9, "rank 1": 4, "rank 2": 9} == by_label(found, "rows")
    assert {"rank 0": 8, "rank 1": 3, "rank 2": 8} == by_label(found, "last_step")
    assert ("node7", 41, "ended") == (found[0].host, found[0].pid, found[0].state)
    last = datetime.datetime.fromtimestamp((BEGIN_NS + 8) / 1e9, datetime.UTC)
    assert last == found[2].last_at


@pytest.mark.parametrize(
    ("status", "behind"), [("RUNNING", 50), ("CRASHED", 50), ("FINISHED", None)]
)
def test_who_is_behind(tmp_path: Path, status: str, behind: int | None) -> None:
    """In a run that lives, or that has ended badly: who has finished is not behind."""
    run = job(tmp_path, {0: 90, 1: 90, 2: 40, 3: 90}, status=RunStatus(status))
    assert behind == by_label(run.producers(), "behind")["rank 2"]
    assert behind is None or by_label(run.producers(), "behind")["rank 1"] == 0


def test_an_evaluation_of_rank_0_puts_nobody_behind(tmp_path: Path) -> None:
    """Its steps are past those of training, and are its own."""
    blocks = [rows("main" if r == 0 else f"rank-{r}", [1.0] * 20, rank=r) for r in range(3)]
    steps: list[int | None] = list(range(1000, 1300))
    late = rows("main", [0.5] * 300, rank=0, metric="accuracy", steps=steps, first=20)
    place = Rank(rank=0, world_size=3)
    run = Run(make_run(tmp_path, "r", *blocks, late, rank=place, status=RunStatus.RUNNING))
    assert {0} == set(by_label(run.producers(), "behind").values())
    assert {1299, 19} == set(by_label(run.producers(), "last_step").values())


def test_ranks_with_runs_of_their_own(tmp_path: Path) -> None:
    """All ranks of the job are there, in their order; the run alone has one."""
    for rank in (0, 1, 10, 2):
        name = f"job-rank{rank}" if rank else "job"
        place = Rank(rank=rank, world_size=4)
        block = rows("main", [1.0] * (10 if rank != 2 else 6), rank=rank)
        make_run(tmp_path, name, block, rank=place, group="g", status=RunStatus.RUNNING)
    run = Run(tmp_path / "exp" / "job-rank1")
    assert ["rank 1"] == [one.label for one in run.producers()]
    found = job_producers(run)
    assert ["rank 0", "rank 1", "rank 2", "rank 10"] == [one.label for one in found]
    assert {"rank 0": 0, "rank 1": 0, "rank 2": 4, "rank 10": 0} == by_label(found, "behind")


def test_a_very_long_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of who logged long ago the number of rows is known, and the rank by its name."""
    monkeypatch.setattr(module, "MOST_ROWS", 50)
    found = Run(
        make_run(tmp_path, "r", rows("rank-3", [1.0] * 7, rank=3), rows("main", [1.0] * 90, rank=0))
    ).producers()
    long_ago = {one.name: one for one in found}["rank-3"]
    assert (7, None, None, 3) == (
        long_ago.rows,
        long_ago.last_step,
        long_ago.last_at,
        long_ago.rank,
    )
    assert {"main": 90, "rank-3": 7} == {one.name: one.rows for one in found}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LoggingEngine]:
    with LoggingEngine(ExperimentConfig("e", tmp_path, run_name="r")) as engine:
        yield engine


def test_a_live_run(engine: LoggingEngine) -> None:
    """Its owner is running, with the pid of this process; there is no rank."""
    engine.log_vector({"loss": 1.0}, 5)
    engine.flush()
    (found,) = expman.Run(engine.run_dir).producers()
    assert ("main", "running", 1, 5) == (found.name, found.state, found.rows, found.last_step)
    assert found.pid is not None
    assert found.rank is None


def test_a_run_without_rows(tmp_path: Path) -> None:
    """Nobody has logged."""
    assert [] == Run(make_run(tmp_path, "r")).producers()


def test_the_step_of_a_live_run_is_its_owners(tmp_path: Path) -> None:
    """And not that of whoever logged last."""
    run = job(tmp_path, {0: 9, 1: 3}, status=RunStatus.RUNNING)
    status = live_status(run)
    assert status is not None
    assert 8 == status.pace.step
