"""A trainer in pure Python with everything recorded unasked, beside one without a run.

Stretches take turns (ABBA) in one process: in one of each pair a run is open, logs a row after each
unit of work, and is sampled every second; in the other there is no run and no writer at all. Both
read the clock and call something after each unit.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmark import processes
from benchmark.contestants import Contestant, Log, floors
from benchmark.tasks.trainer import _loops_of_a_unit, work
from benchmark.timing import make_rows

SETTLE_S = 1.0
READY_S = 20.0
"""A run is open, and its writer at work, before it is measured; no longer than that is waited."""


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Compares `pairs` pairs of stretches of `units` units; counts the bytes of samples."""
    loops, units = _loops_of_a_unit(), params["units"]
    _stretch(max(16, units // 50), loops, floors.empty)
    pairs = []
    for pair in range(params["pairs"]):
        took: dict[bool, _Took] = {}
        for logs in (True, False) if pair % 2 else (False, True):
            run = _open(directory, f"{pair}") if logs else None
            if run is not None:
                _await_provenance(run.run_dir)
            time.sleep(SETTLE_S)
            took[logs] = _stretch(units, loops, floors.empty if run is None else run.log)
            if run is not None:
                run.close()
        pairs.append((took[True], took[False]))
    ratios = [on.wall_s / off.wall_s for on, off in pairs]
    return {
        "slow_down": statistics.median(ratios),
        "slow_downs": ratios,
        "cpu_slow_down": statistics.median(on.cpu_s / max(1e-6, off.cpu_s) for on, off in pairs),
        "calls_share": statistics.median(
            (on.calls_s - off.calls_s) / off.work_s for on, off in pairs
        ),
        "work_slow_down": statistics.median(on.unit_s / off.unit_s for on, off in pairs),
        "others_share": statistics.median(on.others_s / off.work_s for on, off in pairs),
        "others_wakes": statistics.median(on.others_wakes for on, _ in pairs),
        **_samples(os.path.abspath(os.path.join(directory, "samples")), params["samples"]),
    }


class _Took(NamedTuple):
    """What a stretch took, in seconds; all but the first are processor time.

    Attributes:
        wall_s: by the clock.
        cpu_s: of this process, all its threads.
        calls_s: of this thread, within the calls.
        work_s: of this thread, within the units.
        unit_s: the median of a unit.
        others_s: of this process's other threads.
        others_wakes: how often these were run.
    """

    wall_s: float
    cpu_s: float
    calls_s: float
    work_s: float
    unit_s: float
    others_s: float
    others_wakes: int


def _stretch(units: int, loops: int, log: Log) -> _Took:
    rows = make_rows(2)
    work_ns, calls_ns = [], []
    clock = time.thread_time_ns
    others, cpu_s, wall_s = _other_threads(), processes.own_cpu_s(), time.perf_counter()
    for step in range(1, units + 1):
        start = clock()
        work(loops)
        worked = clock()
        log(rows[step % len(rows)], step)
        calls_ns.append(clock() - worked)
        work_ns.append(worked - start)
    wall_s, cpu_s = time.perf_counter() - wall_s, processes.own_cpu_s() - cpu_s
    more = [now - before for now, before in zip(_other_threads(), others, strict=True)]
    return _Took(
        wall_s,
        cpu_s,
        sum(calls_ns) / 1e9,
        sum(work_ns) / 1e9,
        statistics.median(work_ns) / 1e9,
        more[0] / 1e9,
        more[1],
    )


def _other_threads() -> tuple[int, int]:
    """Nanoseconds that the other threads of this process have run, and how often."""
    total = runs = 0
    for thread in os.listdir("/proc/self/task"):
        if int(thread) != threading.get_native_id():
            with contextlib.suppress(OSError):  # it has ended
                found = Path("/proc/self/task", thread, "schedstat").read_text().split()
                total, runs = total + int(found[0]), runs + int(found[2])
    return total, runs


def _await_provenance(run_dir: str) -> None:
    """Waits until the writer has started, and has asked git."""
    give_up_at = time.monotonic() + READY_S
    while not os.path.exists(os.path.join(run_dir, "provenance.yaml")):
        if time.monotonic() > give_up_at:
            return
        time.sleep(0.05)


def _open(directory: str, name: str) -> Any:
    """A run with everything that can be recorded unasked."""
    from expman import Experiment

    return Experiment(
        "observed",
        run_name=name,
        base_dir=directory,
        system_metrics_interval_secs=1,
        capture_provenance=True,
        capture_diff=True,
        quiet=True,
    )


def _samples(directory: str, count: int) -> dict[str, float]:
    """Takes samples of this machine one after the other: their size on disk, and their cost.

    Much of what is sampled changes from one second to the next, and little within milliseconds: a
    sample of a busy machine takes up to 8 bytes per column.
    """
    from expman.storage.paths import SYSTEM
    from expman.storage.vectors import RowBlock, VectorStore
    from expman.transport.hello import Hello
    from expman.writer.samplers.machine import MachineSampler

    os.makedirs(os.path.join(directory, "observed", "samples"))
    hello = Hello(
        role="owner",
        producer="main",
        pid=os.getppid(),
        started_at_ns=time.time_ns(),
        base_dir=directory,
        experiment="observed",
        run_name="samples",
        language="python",
        env_path="",
    )
    sampler, store = MachineSampler(hello), VectorStore(hello.run_dir, SYSTEM)
    cpu_s = time.process_time()
    taken = [list(sampler.sample())[-1] for _ in range(count)]
    cpu_s = time.process_time() - cpu_s
    for number, sample in enumerate(taken):
        values = [(float(value),) for value in sample.values.values()]
        times = (sample.sampled_at_ns,)
        store.append(RowBlock("system", number, (number,), times, tuple(sample.values), values))
    store.finish()
    store.close()
    size = os.path.getsize(os.path.join(hello.run_dir, f"{SYSTEM}.parquet"))
    return {"bytes_per_sample": size / count, "sample_cpu_ms": cpu_s * 1e3 / count}
