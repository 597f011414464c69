"""Table of the samplers that each run has: a new sampler needs a line here only."""

from __future__ import annotations

from expman.writer.samplers.machine import MachineSampler
from expman.writer.samplers.memory_kills import MemoryKillSampler
from expman.writer.samplers.provenance import ProvenanceSampler
from expman.writer.samplers.sampler import Sampler

__all__ = ["SAMPLERS"]

SAMPLERS: tuple[type[Sampler], ...] = (MemoryKillSampler, MachineSampler, ProvenanceSampler)
