"""Samplers that a test adds: one that works, one that fails, one that hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator

from expman.models import LogLevel
from expman.transport import records
from expman.writer.samplers.sampler import Sampler


class TickSampler(Sampler):
    """Adds a line to run.log with each sample."""

    name = "ticks"
    spacing_s = 0.05

    def sample(self) -> Iterator[records.Log]:
        """One line."""
        yield records.Log(0, time.time_ns(), LogLevel.INFO, f"tick of {self.hello.run_name}")


class FailingSampler(Sampler):
    """Fails with each sample."""

    name = "failing"
    spacing_s = 0.05

    def sample(self) -> Iterator[records.Log]:
        """Raises."""
        raise ZeroDivisionError("no such machine")


class HangingSampler(Sampler):
    """Never returns."""

    name = "hanging"
    spacing_s = 0.05
    deadline_s = 0.2

    def sample(self) -> Iterator[records.Log]:
        """Hangs."""
        time.sleep(3600)
        yield from ()
