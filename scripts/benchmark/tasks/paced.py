"""How long a call takes as training makes it: now and then, with caches that others have filled."""

from __future__ import annotations

import os
import time
from typing import Any

from benchmark.child import load
from benchmark.contestants import Contestant
from benchmark.timing import clock, clock_overhead_ns, describe, make_rows

TOUCHED_BYTES = 1024 * 1024
"""Copied between calls: with source and target it is twice a usual L2 cache of 1 MB."""


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Measures each pace (`[metrics, rows per second, seconds]`)."""
    module = load(contestant)
    overhead = clock_overhead_ns()
    parts = {}
    for metrics in dict.fromkeys(pace[0] for pace in params["paces"]):
        opened = module.open_run(os.path.join(directory, str(metrics)), contestant.variant)
        try:
            step = 0
            for its_metrics, rate, seconds in params["paces"]:
                if its_metrics == metrics:
                    samples, late = _measure(opened.log, metrics, rate, seconds, step)
                    step += len(samples) + 1
                    found = describe(samples[1:], overhead)
                    parts[f"{metrics} at {rate}/s"] = found | {"late": late}
        finally:
            opened.close()
    return {"parts": parts}


def _measure(
    log: Any, metrics: int, rate: float, seconds: float, step: int
) -> tuple[list[int], float]:
    """Gives the time of each call, the first one too, and the share of calls that came late."""
    rows = make_rows(metrics)
    source, target = bytes(range(256)) * (TOUCHED_BYTES // 256), bytearray(TOUCHED_BYTES)
    log(rows[0], step)  # the first row of these names
    period_s = 1 / rate
    samples, late = [], 0
    begin = due = time.monotonic()
    while due < begin + seconds and time.monotonic() < begin + seconds:
        due += period_s
        pause_s = due - time.monotonic()
        if pause_s > 0:
            time.sleep(pause_s)
        else:
            late += 1
            due = time.monotonic()
        target[:] = source
        step += 1
        row = rows[step % len(rows)]
        start = clock()
        log(row, step)
        samples.append(clock() - start)
    return samples, late / max(1, len(samples))
