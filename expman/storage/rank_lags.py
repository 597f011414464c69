"""By how many steps ranks are behind: like is compared with like, and most count, not one.

A rank may have steps of its own: rank 0 evaluates, and counts those batches on. So only steps of
the same metrics are compared. And a rank is behind most of the others, or it is not: one that
evaluates under names that all had logged once is alone with its steps.
"""

from __future__ import annotations

import bisect
from collections.abc import Hashable, Mapping
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Lag", "lags_of"]

Key = TypeVar("Key", bound=Hashable)


class Lag(NamedTuple, Generic[Key]):
    """By how much a rank is behind.

    Attributes:
        steps: by so many steps; 0 if it is not.
        key: whose steps were compared: the metric, or set of metrics, by which it is furthest
            behind.
    """

    steps: int
    key: Key


def lags_of(progress: Mapping[int, Mapping[Key, int]]) -> dict[int, Lag[Key]]:
    """Compares ranks with the median of the others; of two in the middle the lower one counts.

    Args:
        progress: of each rank the last step of each metric, or set of metrics, that it has logged.

    Returns:
        For each rank that has a metric in common with another one.
    """
    every: dict[Key, list[int]] = {}
    for steps in progress.values():
        for key, step in steps.items():
            every.setdefault(key, []).append(step)
    for several in every.values():
        several.sort()
    found: dict[int, Lag[Key]] = {}
    for rank, steps in progress.items():
        for key, step in steps.items():
            if len(every[key]) < 2:
                continue
            lag = Lag(max(0, _middle_of_others(every[key], step) - step), key)
            if rank not in found or lag.steps > found[rank].steps:
                found[rank] = lag
    return found


def _middle_of_others(ordered: list[int], own: int) -> int:
    """The lower median of sorted steps without one of those that are `own`."""
    place = (len(ordered) - 2) // 2
    return ordered[place if place < bisect.bisect_left(ordered, own) else place + 1]
