"""A trainer in pure Python, which always wants the GIL, with and without logging.

Its work is divided into units of about a millisecond. Stretches that log a row after each unit
and stretches that do not take turns (ABBA) in one process; pairs of neighbours are compared.
Those that do not log call an empty function, and read the clock all the same: the difference is
the logging, and not its measurement.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmark import processes
from benchmark.child import load
from benchmark.contestants import Contestant, Log, floors
from benchmark.timing import clock, clock_overhead_ns, describe, make_rows

SETTLE_S = 0.3
UNIT_S = 0.001


def work(loops: int) -> int:
    """Calculates for a while without giving up the GIL."""
    value = 1
    for _ in range(loops):
        value = (value * 1103515245 + 12345) & 0x7FFFFFFF
    return value


def _loops_of_a_unit() -> int:
    loops = 5_000
    took = min(_time(lambda: work(loops)) for _ in range(20))
    return max(1, int(loops * UNIT_S / took))


def _time(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _stretch(units: int, loops: int, log: Log, first: int, samples: list[int]) -> None:
    rows: Sequence[Mapping[str, float]] = make_rows(2)
    for step in range(first, first + units):
        work(loops)
        row = rows[step % len(rows)]
        start = clock()
        log(row, step)
        samples.append(clock() - start)


def _all(threads: int, units: int, loops: int, log: Log, first: int, samples: list[int]) -> None:
    """Divides the units among threads; each adds its samples to the list (append is atomic)."""
    if threads == 1:
        _stretch(units, loops, log, first, samples)
        return
    each = units // threads
    with ThreadPoolExecutor(threads) as pool:
        futures = [
            pool.submit(_stretch, each, loops, log, first + number * each, samples)
            for number in range(threads)
        ]
        for future in futures:
            future.result()  # raises what went wrong in it


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Compares `pairs` pairs of stretches of `units` units, divided among `threads` threads.

    A contestant that would need more than `stretch_s` for a stretch gets a shorter one.
    """
    opened = load(contestant).open_run(directory, contestant.variant)
    loops, overhead = _loops_of_a_unit(), clock_overhead_ns()
    units, threads = params["units"], params["threads"]
    opened.log(make_rows(2)[0], 0)
    few = max(16, units // 50)
    took_s = _time(lambda: _all(threads, few, loops, opened.log, 1, [])) / few  # warms up, too
    units = max(threads, min(units, int(params["stretch_s"] / took_s)))
    ratios, cpu_ratios, rates = [], [], []
    samples: list[int] = []
    step = 1 + few
    for pair in range(params["pairs"]):
        took: dict[bool, tuple[float, float]] = {}
        for logs in (True, False) if pair % 2 else (False, True):
            time.sleep(SETTLE_S)  # what the stretch before has left to do is not this one's
            cpu, begin = processes.own_cpu_s(), time.perf_counter()
            log, times = (opened.log, samples) if logs else (floors.empty, [])
            _all(threads, units, loops, log, step, times)
            took[logs] = (time.perf_counter() - begin, processes.own_cpu_s() - cpu)
            step += units if logs else 0
        ratios.append(took[True][0] / took[False][0])
        cpu_ratios.append(took[True][1] / max(1e-6, took[False][1]))
        rates.append(units // threads * threads / took[True][0])
    opened.close()
    return describe(samples, overhead) | {
        "slow_down": statistics.median(ratios),
        "slow_downs": ratios,
        "cpu_slow_down": statistics.median(cpu_ratios),
        "rows_per_s": statistics.median(rates),
        "units": units,
    }
