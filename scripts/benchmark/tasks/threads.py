"""Several threads of one process log into one run at the same time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmark.child import load
from benchmark.contestants import Contestant
from benchmark.timing import clock_overhead_ns, describe, make_rows, time_calls


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Has `workers` threads make up to `rows` calls each, for `seconds` at the most."""
    opened = load(contestant).open_run(directory, contestant.variant)
    workers, overhead = params["workers"], clock_overhead_ns()
    opened.log(make_rows(2)[0], 0)
    gate = threading.Barrier(workers + 1)
    samples: list[list[int]] = [[] for _ in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        futures = [
            pool.submit(_work, opened.log, gate, number, params, samples[number])
            for number in range(workers)
        ]
        gate.wait()
        begin = time.monotonic()
        for future in futures:
            future.result()  # raises what went wrong in it
        called = time.monotonic()
    opened.close()
    everything = [sample for taken in samples for sample in taken]
    return describe(everything, overhead) | {
        "rows_per_s": len(everything) / (called - begin),
        "stored_rows_per_s": len(everything) / (time.monotonic() - begin),
    }


def _work(
    log: Any, gate: threading.Barrier, number: int, params: dict[str, Any], samples: list[int]
) -> None:
    rows = make_rows(2)
    gate.wait()
    first = 1 + number * params["rows"]
    time_calls(log, rows, range(first, first + params["rows"]), params["seconds"], samples)
