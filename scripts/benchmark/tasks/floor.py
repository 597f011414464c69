"""expman's call beside its floors in one process, in turns of a few hundred calls."""

from __future__ import annotations

import os
from typing import Any

from benchmark.child import load
from benchmark.contestants import Contestant, Log, floors
from benchmark.timing import clock, clock_overhead_ns, describe, make_rows

BLOCK_ROWS = 200


def compare(calls: dict[str, Log], metrics: int, rounds: int) -> dict[str, dict[str, float]]:
    """Times each call in turns; the order of the turns alternates."""
    overhead = clock_overhead_ns()
    rows = make_rows(metrics)
    samples: dict[str, list[int]] = {name: [] for name in calls}
    order = list(calls)
    block = max(20, BLOCK_ROWS // max(1, metrics // 10))
    for turn in range(rounds + 1):
        for name in order:
            call, taken = calls[name], []
            for step in range(block):
                row = rows[step % len(rows)]
                start = clock()
                call(row, step)
                taken.append(clock() - start)
            if turn:  # the first turn warms up
                samples[name] += taken
        order.reverse()
    return {name: describe(taken, overhead) for name, taken in samples.items()}


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Compares for each number of metrics, in a run of its own."""
    parts = {}
    for metrics in params["metrics"]:
        opened = load(contestant).open_run(
            os.path.join(directory, str(metrics)), contestant.variant
        )
        try:
            calls = {"call": opened.log, "floor": floors.make_floor(), "empty": floors.empty}
            found = compare(calls, metrics, params["turns"])
        finally:
            opened.close()
        parts[str(metrics)] = found["call"] | {
            "floor_p50": found["floor"]["p50"],
            "empty_p50": found["empty"]["p50"],
            "to_floor": found["call"]["p50"] / max(1, found["floor"]["p50"]),
        }
    return {"parts": parts}
