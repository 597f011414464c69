"""Several forked processes log at the same time.

Into one run where a forked child can (expman, the transports); elsewhere each into a run of
its own, which asks less of the contestant.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from benchmark.child import load
from benchmark.contestants import Contestant, Run
from benchmark.timing import clock, clock_overhead_ns, describe, make_rows


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Has `workers` processes make up to `rows` calls each, for `seconds` at the most."""
    module = load(contestant)
    shared: Run | None = None
    if contestant.shares_fork:
        shared = module.open_run(directory, contestant.variant)
        shared.log(make_rows(2)[0], 0)
    start_read, start_write = os.pipe()
    workers = []
    for number in range(params["workers"]):
        answer_read, answer_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(start_write)
            code = 1
            try:
                opened = shared or module.open_run(
                    os.path.join(directory, str(number)), contestant.variant
                )
                _work(opened, number, params, start_read, answer_write)
                code = 0
            finally:
                os._exit(code)  # nothing of the parent's is to run here
        os.close(answer_write)
        workers.append((pid, os.fdopen(answer_read)))
    for _, answer in workers:
        assert answer.readline() == "ready\n", "a worker did not get ready"
    begin = time.monotonic()
    os.close(start_write)
    found = [json.loads(answer.readline()) for _, answer in workers]
    called = time.monotonic()
    for pid, _ in workers:
        os.waitpid(pid, 0)
    if shared is not None:
        shared.close()
    everything = [sample for taken in found for sample in taken]
    return describe(everything, clock_overhead_ns()) | {
        "rows_per_s": len(everything) / (called - begin),
        "stored_rows_per_s": len(everything) / (time.monotonic() - begin),
        "one_run": shared is not None,
    }


def _work(opened: Run, number: int, params: dict[str, Any], gate: int, answer: int) -> None:
    rows = make_rows(2)
    first = 1 + number * (params["rows"] + 1)
    opened.log(rows[0], first)
    os.write(answer, b"ready\n")
    os.read(gate, 1)  # returns when the parent closes its end
    samples = []
    end_ns = clock() + int(params["seconds"] * 1e9)
    for step in range(first + 1, first + 1 + params["rows"]):
        row = rows[step % len(rows)]
        start = clock()
        opened.log(row, step)
        stop = clock()
        samples.append(stop - start)
        if stop > end_ns:
            break
    with os.fdopen(answer, "w") as file:
        file.write(json.dumps(samples) + "\n")
    opened.close()
