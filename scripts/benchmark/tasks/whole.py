"""A whole run at full speed: time and CPU from the first row until close() has returned."""

from __future__ import annotations

import os
import random
import time
from typing import Any

from benchmark import processes
from benchmark.child import load
from benchmark.contestants import Contestant

COUNTED_ROWS = 20_000
SETTLE_S = 0.5
"""Before the first row: a process that the contestant starts has started by then."""


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Logs `rows` rows of 2 metrics, or as many as `seconds` allow.

    A loss with all its digits and an accuracy of a batch of 256, new ones in each row: what is
    written can be made small, but no smaller than a real run's.
    """
    module = load(contestant)
    opened = module.open_run(directory, contestant.variant)
    noise = random.Random(0).random
    rows, limit_s = params["rows"], params["seconds"]
    log = opened.log
    time.sleep(SETTLE_S)
    own, others = processes.own_cpu_s(), processes.others_cpu_s()
    begin = time.monotonic()
    end = begin + limit_s
    for step in range(rows):
        draw = noise()
        log(
            {
                "metric_0": 2.0 / (1.0 + step * 1e-4) * (0.9 + 0.2 * draw),
                "metric_1": int(256 * (0.5 + 0.4 * noise())) / 256,
            },
            step,
        )
        if not step & 63 and time.monotonic() > end:
            rows = step + 1
            break
    logged = time.monotonic()
    opened.close()
    closed = time.monotonic()
    found = {
        "rows": rows,
        "bounded": rows < params["rows"],
        "log_s": logged - begin,
        "total_s": closed - begin,
        "trainer_cpu_s": processes.own_cpu_s() - own,
        "others_cpu_s": max(0.0, processes.others_cpu_s() - others),
        "trainer_peak_bytes": processes.peak_memory_bytes(os.getpid()),
        "bytes_per_row": processes.disk_bytes(directory) / rows,
    }
    if rows <= COUNTED_ROWS:  # a contestant that is quick because it loses rows is found out
        found["stored"] = module.count_rows(directory, contestant.variant)
    return found
