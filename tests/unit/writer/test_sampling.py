"""When samples are taken: at the begin, in between, at the end, and which the end waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from lanes import make_hello

from expman.writer import sampling
from expman.writer.samplers.sampler import Sampler
from expman.writer.sampling import Sampling

DEADLINE_S = 120.0


class Ticks(Sampler):
    """Counts its samples; waits for `go` if it is to."""

    name = "ticks"
    spacing_s = 3600.0
    awaited_s = 3600.0
    takes_last = True
    go = threading.Event()

    def __init__(self, hello: Any) -> None:
        super().__init__(hello)
        self._count = 0

    def sample(self) -> Iterator[int]:
        assert self.go.wait(DEADLINE_S)
        self._count += 1
        yield self._count


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch) -> Sampling:
    """The samplers of a run: one that takes a sample each hour."""
    Ticks.go.set()
    monkeypatch.setattr(sampling, "SAMPLERS", (Ticks,))
    return Sampling(make_hello(), trainer_lives=True)


def take(samples: Sampling) -> list[int]:
    """What is found until nothing is awaited any more."""
    found: list[int] = []
    deadline = time.monotonic() + DEADLINE_S
    while samples.is_awaited():
        assert time.monotonic() < deadline
        found += samples.step()
    return found


def test_the_first_sample_is_awaited(samples: Sampling) -> None:
    """Also before it was begun, and until it was taken over."""
    assert samples.is_awaited()
    assert [1] == take(samples)
    assert [] == samples.step()


def test_the_last_sample(samples: Sampling, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken once, at the end, if the one before is not too fresh."""
    assert [1] == take(samples)
    samples.finish()
    assert not samples.is_awaited(), "the one before has just been taken"
    monkeypatch.setattr(sampling, "LAST_SPACING_S", 0.0)
    samples = Sampling(make_hello(), trainer_lives=True)
    assert [1] == take(samples)
    samples.finish()
    assert [2] == take(samples)
    samples.finish()
    assert not samples.is_awaited()


def test_a_sample_that_hangs(samples: Sampling, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the run waits for it as long as the sampler says, and not longer."""
    monkeypatch.setattr(Ticks, "awaited_s", 0.05)
    samples = Sampling(make_hello(), trainer_lives=True)
    Ticks.go.clear()
    assert [] == take(samples)
    samples.finish()
    assert [] == take(samples)
    Ticks.go.set()


def test_who_observes_a_trainer_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those who do not need it."""
    monkeypatch.setattr(sampling, "SAMPLERS", (Ticks,))
    assert not Sampling(make_hello(), trainer_lives=False).is_awaited()
    monkeypatch.setattr(Ticks, "needs_trainer", False)
    assert Sampling(make_hello(), trainer_lives=False).is_awaited()
