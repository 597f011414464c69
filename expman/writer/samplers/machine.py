"""Samples of the machine: one row of system.parquet each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

from expman.models import LogLevel
from expman.storage.paths import RUN_LOG, read_regular
from expman.transport import records
from expman.transport.hello import Hello
from expman.writer.samplers.cgroup import Cgroup
from expman.writer.samplers.gpus import Gpus
from expman.writer.samplers.host import HostLoad
from expman.writer.samplers.process_tree import OwnUse, ProcessTree
from expman.writer.samplers.sampler import Sampler
from expman.writer.samplers.samples import MachineSample
from expman.writer.samplers.sensors import Sensors

__all__ = ["MachineSampler"]


_START_BYTES = 64 * 1024


class _Source(Protocol):
    """One part of a sample."""

    def read(self) -> dict[str, float]:
        """The values of now, by column."""


class MachineSampler(Sampler):
    """Host, cgroup and process tree of a run, every `system_metrics_interval_secs`.

    All of it comes from /proc and /sys, and is that of the trainer, whose pid is in the hello.
    With psutil come the frequency and the temperature of the processors, with nvidia-ml-py the
    GPUs.
    """

    name = "machine"
    awaited_s: ClassVar[float] = 0.25
    takes_last: ClassVar[bool] = True

    def __init__(self, hello: Hello) -> None:
        super().__init__(hello)
        pid = self.find_trainer()
        self._tree = ProcessTree(pid)
        self._sensors = Sensors()
        self._gpus = Gpus()
        self._sources: list[_Source] = [
            HostLoad(pid, hello.run_dir),
            Cgroup(pid),
            self._tree,
            self._sensors,
            OwnUse(),
        ]
        self._log = os.path.join(hello.run_dir, RUN_LOG)
        self._is_first = True

    @classmethod
    def spacing_for(cls, hello: Hello) -> float:
        """As the run was started with."""
        return float(hello.system_metrics_interval_secs or 0)

    def sample(self) -> Iterator[Any]:
        """Takes one sample."""
        lack = self._sensors.lack
        if self._is_first and lack is not None and not _is_said(lack, self._log):
            yield records.Log(0, time.time_ns(), LogLevel.INFO, lack)
        self._is_first = False
        values: dict[str, float] = {}
        moment_ns = time.time_ns()
        for source in self._sources:
            values |= source.read()
        values |= self._gpus.read(self._tree.pids())
        yield MachineSample(moment_ns, values)
        for line in self._gpus.lines():
            yield records.Log(0, time.time_ns(), LogLevel.WARN, line)


def _is_said(line: str, log: str) -> bool:
    """Whether an earlier writer or attempt of the run has this line near the start of run.log."""
    try:
        return line.encode() in read_regular(log, most_bytes=_START_BYTES)
    except OSError:
        return False
