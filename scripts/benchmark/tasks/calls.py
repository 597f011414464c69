"""How long a call takes at full speed: one after the other."""

from __future__ import annotations

import os
import time
from typing import Any

from benchmark.child import load
from benchmark.contestants import Contestant
from benchmark.timing import clock_overhead_ns, describe, make_rows, time_calls

WARM_UP_S = 0.2
WARM_UP_ROWS = 200


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Makes up to `rows` calls, or for `seconds`; each number of metrics has a run of its own."""
    module = load(contestant)
    overhead = clock_overhead_ns()
    parts = {}
    for metrics in params["metrics"]:
        opened = module.open_run(os.path.join(directory, str(metrics)), contestant.variant)
        try:
            parts[str(metrics)] = _measure(opened.log, metrics, params, overhead)
        finally:
            opened.close()
    return {"parts": parts}


def _measure(log: Any, metrics: int, params: dict[str, Any], overhead: int) -> dict[str, float]:
    rows = make_rows(metrics)
    end = time.monotonic() + WARM_UP_S
    first = 0
    while first < WARM_UP_ROWS and (first < 2 or time.monotonic() < end):
        log(rows[first % len(rows)], first)
        first += 1
    samples: list[int] = []
    time_calls(log, rows, range(first, first + params["rows"]), params["seconds"], samples)
    return describe(samples, overhead)
