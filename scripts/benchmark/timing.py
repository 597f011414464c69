"""Timing of single calls, and what is said of many of them."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from typing import Any

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
clock = time.perf_counter_ns


def clock_overhead_ns() -> int:
    """Measures what two readings of the clock cost, as the median of many."""
    pairs = []
    for _ in range(5_000):
        start = clock()
        stop = clock()
        pairs.append(stop - start)
    return int(quantile(sorted(pairs), 0.5))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Gives the value below which a share of the ordered values lies (nearest rank)."""
    rank = int(share * len(ordered))
    return ordered[min(rank, len(ordered) - 1)]


def describe(samples_ns: Iterable[int], overhead_ns: int = 0) -> dict[str, float]:
    """Sums up how long calls took, in nanoseconds, less what reading the clock took."""
    ordered = sorted(max(0, sample - overhead_ns) for sample in samples_ns)
    if not ordered:
        return {"count": 0}
    found: dict[str, float] = {name: quantile(ordered, q) for name, q in QUANTILES.items()}
    return found | {
        "max": ordered[-1],
        "mean": sum(ordered) / len(ordered),
        "count": len(ordered),
    }


def make_rows(metrics: int, different: int = 64) -> list[dict[str, float]]:
    """Makes rows of so many metrics: measured-looking floats, no two rows the same."""
    source = random.Random(metrics)
    different = max(4, min(different, 20_000 // metrics))
    keys = [f"metric_{number}" for number in range(metrics)]
    return [{key: source.random() for key in keys} for _ in range(different)]


def time_calls(
    log: Any, rows: Sequence[dict[str, float]], steps: range, seconds: float, samples: list[int]
) -> None:
    """Logs a row for each step, for so many seconds at the most; adds each call's nanoseconds."""
    end_ns = clock() + int(seconds * 1e9)
    for step in steps:
        row = rows[step % len(rows)]
        start = clock()
        log(row, step)
        stop = clock()
        samples.append(stop - start)
        if stop > end_ns:
            return
