"""Who is behind: noticed once, named with the others' steps; who waits, or is done, is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from lanes import make_hello

from expman.metadata import RunMetadata
from expman.models import LogLevel, Rank
from expman.writer import stalls
from expman.writer.progress import Progress
from expman.writer.stalls import StallWatch

HANG_AFTER_S = 10


class FakeRun:
    """A run of some producers, on a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.now = 1000.0
        self.meta, self.meta_changed = RunMetadata(name="r", experiment="e"), False
        self.lines: list[str] = []
        self.asked: list[set[int] | None] = []
        monkeypatch.setattr(stalls, "ask_for_stacks", lambda _, pids: self.asked.append(pids) or [])
        monkeypatch.setattr(stalls, "keep_stacks", lambda *_: [])
        monkeypatch.setattr(stalls.threading, "Thread", _AtOnce)
        hello = make_hello(hang_after_s=HANG_AFTER_S)
        self.watch = StallWatch(hello, clock=lambda: self.now)
        self.producers = {name: fake_lane(number, name) for number, name in enumerate(names)}

    @property
    def lanes(self) -> list[Any]:
        return list(self.producers.values())

    @property
    def run(self) -> FakeRun:
        return self

    def note(self, _: LogLevel, line: str) -> None:
        self.lines.append(line)

    def log(self, name: str, step: int | None, *metrics: str) -> None:
        """A producer logs a row."""
        lane = self.producers[name]
        lane.consumer.rows += 1
        lane.last_step = lane.last_step if step is None else step
        lane.progress.note(metrics or ("loss",), [step], [int(self.now * 1e9)], 1)

    def look(self) -> None:
        """A second goes by, and the writer looks."""
        self.now += 1
        self.watch.look(self)  # type: ignore[arg-type]

    def go(self, seconds: float, *logging: str) -> list[str]:
        """Some producers log a row each second; returns the new lines about rows."""
        before = len(self.lines)
        for _ in range(round(seconds)):
            for name in logging:
                self.log(name, self.producers[name].consumer.rows)
            self.look()
        return self.said(before)

    def said(self, before: int = 0) -> list[str]:
        """The lines about rows, from a number on."""
        return [line for line in self.lines[before:] if "rows" in line]


class _AtOnce:
    def __init__(self, target: Any, args: Any, **_: Any) -> None:
        self.start = lambda: target(*args)


def fake_lane(number: int, name: str) -> Any:
    is_owner = name == "main"
    rank = Rank(rank=int(name[-1]), world_size=4) if name.startswith("rank-") else None
    rank = Rank(rank=0, world_size=4) if is_owner else rank
    hello = make_hello(role="owner" if is_owner else "worker", pid=100 + number, rank=rank)
    consumer = SimpleNamespace(hello=hello, rows=0, sealed=False)
    return SimpleNamespace(
        number=number,
        producer=name,
        is_owner=is_owner,
        consumer=consumer,
        last_step=None,
        progress=Progress(),
    )


RANKS = ("main", "rank-1", "rank-2", "rank-3")


def test_one_rank_of_four_that_lags(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named once, with its step and those of the others; only its stacks are asked for."""
    job = FakeRun(monkeypatch, *RANKS)
    assert [] == job.go(20, *RANKS)
    (line,) = job.go(40, "main", "rank-1", "rank-3")
    text = "rank 2 is behind: last row at step 19, 20 s ago, the others at 39"
    assert f"no rows for long: {text}" == line
    assert [{102}] == job.asked
    assert [text] == job.meta.stalled
    assert job.meta.stalled_since is not None
    assert ["rows come again from rank 2"] == job.go(5, *RANKS)
    assert ([], None) == (job.meta.stalled, job.meta.stalled_since)


def test_a_second_one_that_lags(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported beside the first one."""
    job = FakeRun(monkeypatch, *RANKS)
    job.go(20, *RANKS)
    job.go(30, "main", "rank-1", "rank-3")
    (line,) = job.go(40, "main", "rank-1")
    assert line.startswith("no rows for long: rank 3 is behind: last row at step 49")
    assert [{102}, {103}] == job.asked
    assert 2 == len(job.meta.stalled)


def test_all_ranks_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for all, which names the one that is a step behind; all processes are asked."""
    job = FakeRun(monkeypatch, *RANKS)
    job.go(20, *RANKS)
    job.go(1, "main", "rank-1", "rank-3")
    (line,) = job.go(60)
    assert "main" not in line
    assert "rank 0 has logged 21, the last one with step 20, none for 20 s" in line
    assert line.endswith("; rank 2 is behind: last row at step 19, the others at 20")
    assert [None] == job.asked


def test_a_rank_that_waits_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has got as far as anybody: more rows of one step are not a hang of the other."""
    job = FakeRun(monkeypatch, "main", "rank-1")
    job.go(20, "main", "rank-1")
    for _ in range(50):
        job.log("main", 19)
        job.look()
    assert [] == job.said()


@pytest.mark.parametrize("names", [("main", "rank-1"), ("main", "worker-0")])
def test_an_owner_whose_workers_log(monkeypatch: pytest.MonkeyPatch, names: tuple[str]) -> None:
    """It has started them, and logs messages only; if they fall silent, it is the run that does."""
    job = FakeRun(monkeypatch, *names)
    assert [] == job.go(100, names[1])
    assert 1 == len(job.go(50))


@pytest.mark.parametrize("rows", [1, 9])
def test_a_worker_that_logs_rarely(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Nobody knows how often it logs."""
    job = FakeRun(monkeypatch, "main", "worker-0")
    job.go(rows, "main", "worker-0")
    assert [] == job.go(300, "main")


def test_a_worker_with_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be silent for three times the longest one, or twenty times the usual."""
    job = FakeRun(monkeypatch, "main", "worker-0")
    for _ in range(12):
        job.go(29, "main")
        job.go(1, "main", "worker-0")
    assert [] == job.go(300, "main")
    assert 1 == len(job.go(400, "main"))


@pytest.mark.parametrize("how", ["sealed", "gone"])
def test_a_worker_that_is_done(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """It is not behind; one that was is no longer."""
    job = FakeRun(monkeypatch, "main", "worker-0", "worker-1")
    job.go(20, "main", "worker-0", "worker-1")
    assert 1 == len(job.go(50, "main", "worker-1"))
    for name in ("worker-0", "worker-1"):
        if how == "sealed":
            job.producers[name].consumer.sealed = True
        else:
            del job.producers[name]
    assert ["1 producer without rows has ended"] == job.go(100, "main")
    assert ([], None) == (job.meta.stalled, job.meta.stalled_since)


def test_an_owner_that_is_silent_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data may be prepared for long: three times as long is waited."""
    job = FakeRun(monkeypatch, "main")
    assert [] == job.go(3 * HANG_AFTER_S)
    assert ["no rows for long: rank 0 has logged none for 30 s"] == job.go(HANG_AFTER_S)


def test_memory_does_not_grow_with_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of an epoch are forgotten with their lanes."""
    job = FakeRun(monkeypatch, "main")
    for number in range(50):
        job.producers["worker-0"] = fake_lane(number + 10, "worker-0")
        job.go(2, "main", "worker-0")
    assert 2 == len(job.watch._paces)
