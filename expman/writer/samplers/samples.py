"""Records of samplers: they are in no lane, and have sinks of their own."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["SAMPLES", "MachineSample", "ProvenanceSample"]


class MachineSample(msgspec.Struct, frozen=True):
    """One look at the machine and at the processes of a run.

    Attributes:
        sampled_at_ns: nanoseconds since the Unix epoch.
        values: column to number; what could not be found out is absent.
    """

    sampled_at_ns: int
    values: Mapping[str, float | int]


class ProvenanceSample(msgspec.Struct, frozen=True):
    """Provenance of a run as far as it is known; a later one replaces it.

    Attributes:
        document: the content of provenance.yaml.
    """

    document: Mapping[str, object]


SAMPLES: tuple[type, ...] = (MachineSample, ProvenanceSample)
"""Every kind of sample that has a sink; a sampler may also find a `records.Log`."""
