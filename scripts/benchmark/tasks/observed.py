"""A trainer in pure Python with everything recorded unasked, beside one without a run.

Stretches take turns (ABBA) in one process: in one of each pair a run is open, logs a row after each
unit of work, and is sampled every second; in the other there is no run and no writer at all. Both
read the clock and call something after each unit.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

from benchmark import processes
from benchmark.contestants import Contestant, floors
from benchmark.tasks.trainer import _all, _loops_of_a_unit, _time

SETTLE_S = 1.0
"""So long a run is open before it is measured: its writer has started by then."""


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Compares `pairs` pairs of stretches of `units` units; counts the bytes of samples."""
    loops, units = _loops_of_a_unit(), params["units"]
    _all(1, max(16, units // 50), loops, floors.empty, 0, [])
    ratios, cpu_ratios = [], []
    for pair in range(params["pairs"]):
        took: dict[bool, tuple[float, float]] = {}
        for logs in (True, False) if pair % 2 else (False, True):
            run = _open(directory, f"{pair}") if logs else None
            log = floors.empty if run is None else run.log
            time.sleep(SETTLE_S)
            cpu_s = processes.own_cpu_s()
            wall_s = _time(lambda log=log: _all(1, units, loops, log, 1, []))
            took[logs] = wall_s, processes.own_cpu_s() - cpu_s
            if run is not None:
                run.close()
        ratios.append(took[True][0] / took[False][0])
        cpu_ratios.append(took[True][1] / max(1e-6, took[False][1]))
    return {
        "slow_down": statistics.median(ratios),
        "slow_downs": ratios,
        "cpu_slow_down": statistics.median(cpu_ratios),
        **_samples(os.path.abspath(os.path.join(directory, "samples")), params["samples"]),
    }


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
