"""Nobody is accused falsely: ranks that wait, evaluate or have other batches; a hang is found.

Each scenario is a job of some ranks, a row a second. The names of metrics, who does it, and for how
long are drawn at random.
"""

from __future__ import annotations

import random

import pytest
from unit.writer.test_stalls import HANG_AFTER_S, RANKS, FakeRun

LONG_S = 20 * HANG_AFTER_S
SEEDS = range(12)
NAMES = [("loss",), ("loss", "lr"), ("train/loss", "step_s", "lr")]


class Job:
    """Ranks that train in step, each with a row a second.

    Attributes:
        names: metrics of a row of training.
        trained: the next step of training, by rank.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, dice: random.Random) -> None:
        self.run = FakeRun(monkeypatch, *RANKS)
        self.dice = dice
        self.names = dice.choice(NAMES)
        self.trained = dict.fromkeys(RANKS, 0)

    def train(self, seconds: int, *ranks: str) -> None:
        """Some ranks, or all, train."""
        for _ in range(seconds):
            for rank in ranks or RANKS:
                self.run.log(rank, self.trained[rank], *self.names)
                self.trained[rank] += 1
            self.run.look()

    def evaluate(self, seconds: int, rank: str, first: int, *names: str) -> None:
        """One rank evaluates, and counts on from a number of its own."""
        for step in range(first, first + seconds):
            self.run.log(rank, step, *(names or ("accuracy",)))
            self.run.look()

    def accused(self) -> list[str]:
        """Sentences of those who are called behind."""
        lines = "; ".join(self.run.lines).split("; ")
        return [line for line in lines if "is behind" in line]


@pytest.fixture(params=SEEDS)
def job(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Job:
    return Job(monkeypatch, random.Random(request.param))


@pytest.mark.parametrize("names", [(), ("loss", "accuracy")])
def test_one_rank_evaluates(job: Job, names: tuple[str, ...]) -> None:
    """With steps past those of training, from far below them, and under names of training."""
    job.train(job.dice.randint(12, 100))
    first = job.dice.choice([0, 5000])
    one = job.dice.choice(RANKS)
    job.evaluate(LONG_S, one, first, *names)
    job.train(job.dice.randint(1, HANG_AFTER_S), one)  # the others need a moment longer
    job.train(20)
    assert [] == job.accused()


def test_all_have_evaluated_once(job: Job) -> None:
    """At the begin, to see that it works; from then on rank 0 alone evaluates."""
    for rank in RANKS:
        job.evaluate(2, rank, 0)
    job.train(80)
    job.evaluate(LONG_S, "main", 3)
    assert [] == job.accused()


def test_other_batches(job: Job) -> None:
    """A rank whose epochs are shorter is done earlier, and never catches up."""
    short = job.dice.choice(RANKS)
    rest = [rank for rank in RANKS if rank != short]
    for _ in range(job.dice.randint(2, 8)):
        job.train(95)
        job.train(5, *rest)
        job.evaluate(2 * HANG_AFTER_S, "main", 10_000)
    job.run.now += 1000  # rank 0 writes a checkpoint, and all wait
    for _ in range(LONG_S):
        job.run.look()
    assert [] == job.accused()


def test_one_rank_warms_up(job: Job) -> None:
    """It trains alone before the others begin, or after their first rows."""
    job.train(job.dice.choice([0, 3]))
    job.train(LONG_S, job.dice.choice(RANKS))
    job.trained = dict.fromkeys(RANKS, 0)
    job.train(40)
    assert [] == job.accused()


def test_rank_0_writes_a_checkpoint(job: Job) -> None:
    """It logs how it goes on; the others have logged their next step, and wait."""
    job.train(job.dice.randint(12, 60))
    job.train(1, "rank-1", "rank-2", "rank-3")
    for share in range(LONG_S):
        job.run.log("main", None, "written_gb") if share % 3 else None
        job.run.look()
    assert [] == job.accused()


def test_unequal_intervals(job: Job) -> None:
    """A rank that logs every tenth step waits for an evaluation, and is not nine steps behind."""
    for step in range(job.dice.randint(200, 240)):
        for rank in RANKS:
            if rank != "rank-2" or step % 10 == 0:
                job.run.log(rank, step, *job.names)
        job.run.look()
    job.evaluate(LONG_S, "main", 10_000)
    for _ in range(LONG_S):
        job.run.look()
    assert [] == job.accused()


@pytest.mark.parametrize("metrics", ["same", "more", "own"])
def test_a_rank_that_stops(job: Job, metrics: str) -> None:
    """It is named with its step, also if rank 0 logs more, or each has names of its own."""
    steps = job.dice.randint(12, 60)
    stuck = job.dice.choice(RANKS)
    for step in range(steps + LONG_S):
        for number, rank in enumerate(RANKS):
            names = (*job.names, "gpu") if metrics == "more" and rank == "main" else job.names
            names = tuple(f"{name}/{number}" for name in names) if metrics == "own" else names
            if rank != stuck or step < steps:
                job.run.log(rank, step, *names)
        job.run.look()
    (text,) = job.accused()
    who = f"rank {RANKS.index(stuck)} is behind: last row at step {steps - 1}, "
    assert text.removeprefix("no rows for long: ").startswith(who)


def test_a_rank_that_stops_while_rank_0_evaluates(job: Job) -> None:
    """Once the others train again, it is behind: by their steps of training, and no others."""
    job.train(40)
    job.evaluate(LONG_S, "main", 5000)
    assert [] == job.accused()
    job.train(LONG_S, "main", "rank-1", "rank-3")
    (text,) = job.accused()
    assert "rank 2 is behind: last row at step 39, " in text
    assert text.rpartition(" ")[2].isdigit()
    assert int(text.rpartition(" ")[2]) < 5000


@pytest.mark.parametrize("first", [0, 5000])
def test_all_stop_after_one_has_evaluated(job: Job, first: int) -> None:
    """The rank that lacks a step is named; the steps of an evaluation are not compared."""
    job.train(40)
    job.evaluate(30, "main", first)
    job.train(20)
    job.train(1, "main", "rank-1", "rank-2")
    for _ in range(LONG_S):
        job.run.look()
    (text,) = job.accused()
    assert "rank 3 is behind: last row at step 59, the others at 60" == text
