"""An owner and forked workers that log without a break until the run is closed.

log_in_workers.py BASE_DIR COUNTERS WORKERS THREADS [PAUSE_S]: prints the run's directory and the
pids of the workers; a line on standard input has the owner close the run and print `closed`.
Counter 0 tells how many calls of the owner have returned, 1 + WORKER * THREADS + THREAD those of a
worker's thread. A worker ends with 0 if each call after the first RunClosedError raised it, too.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

from counters import Counters

from expman import ExperimentConfig, LoggingEngine, RunClosedError

PAUSE_S = 0.002
BURST = 20


def log_until_closed(
    engine: LoggingEngine,
    counters: Counters,
    worker: int,
    thread: int,
    threads: int,
    pause_s: float,
) -> bool:
    """Logs rows until the run is closed; whether it stays closed."""
    slot = 1 + worker * threads + thread
    log_vector = engine.log_vector
    n = 0
    try:
        while True:
            log_vector({"worker": worker, "thread": thread, "n": n}, n)
            n += 1
            counters[slot] = n
            if n % BURST == 0:
                time.sleep(pause_s)
    except RunClosedError:
        return all(_refuses(engine) for _ in range(3))


def _refuses(engine: LoggingEngine) -> bool:
    try:
        engine.log_vector({"after": 1})
    except RunClosedError:
        return True
    return False


def work(
    engine: LoggingEngine,
    counters: Counters,
    worker: int,
    threads: int,
    pause_s: float = PAUSE_S,
) -> int:
    """Logs from so many threads; the exit status."""
    well = [False] * threads

    def run(thread: int) -> None:
        well[thread] = log_until_closed(engine, counters, worker, thread, threads, pause_s)

    others = [threading.Thread(target=run, args=(number,)) for number in range(1, threads)]
    for one in others:
        one.start()
    run(0)
    for one in others:
        one.join()
    return 0 if all(well) else 1


def fork(function: Callable[[], int]) -> int:
    """Runs it in a forked child, which ends with its result and nothing else."""
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        code = function()
    finally:
        os._exit(code)


def main() -> None:
    """Logs until a line comes, then closes the run."""
    base_dir, counter_file = sys.argv[1:3]
    workers, threads = int(sys.argv[3]), int(sys.argv[4])
    pause_s = float(sys.argv[5]) if len(sys.argv) > 5 else PAUSE_S
    counters = Counters(counter_file, 1 + workers * threads)
    engine = LoggingEngine(ExperimentConfig("workers", base_dir, run_name="run"))
    pids = [
        fork(partial(work, engine, counters, worker, threads, pause_s)) for worker in range(workers)
    ]
    print(engine.run_dir)
    print(*pids)
    n = 0
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        engine.log_vector({"worker": -1, "thread": 0, "n": n}, n)
        n += 1
        counters[0] = n
    engine.close()
    print("closed")
    for pid in pids:
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main()
