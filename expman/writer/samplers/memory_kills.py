"""Processes that the kernel kills because the trainer's cgroup is out of memory."""

from __future__ import annotations

import time
from collections.abc import Iterator

from expman.models import LogLevel
from expman.transport import records
from expman.transport.hello import Hello
from expman.writer.memory_kills import MemoryKills
from expman.writer.samplers.sampler import Sampler

__all__ = ["MemoryKillSampler"]


class MemoryKillSampler(Sampler):
    """Adds a line to run.log when the kernel kills a process: a DataLoader's worker, say."""

    name = "memory kills"
    spacing_s = 5.0

    def __init__(self, hello: Hello) -> None:
        super().__init__(hello)
        self._kills = MemoryKills(hello.pid)
        self._reported = 0

    def sample(self) -> Iterator[records.Log]:
        """Reports kills since the last sample."""
        count = self._kills.count()
        if count > self._reported:
            new = count - self._reported
            what = "a process" if new == 1 else f"{new} processes"
            text = f"the kernel killed {what} in the cgroup of the trainer: out of memory"
            self._reported = count
            yield records.Log(0, time.time_ns(), LogLevel.WARN, text)
