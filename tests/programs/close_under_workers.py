"""Closes runs, one after the other, while forked workers log: close_under_workers.py BASE ROUNDS.

Prints a line of JSON for each run: its directory and how many calls of each worker's threads
had returned.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from functools import partial

from counters import Counters
from log_in_workers import fork, work

from expman import ExperimentConfig, LoggingEngine

WORKERS, THREADS, LONGEST_S = 3, 2, 0.06

base_dir, rounds = sys.argv[1], int(sys.argv[2])
chance = random.Random(7)
for number in range(rounds):
    counters = Counters("counters", 1 + WORKERS * THREADS)
    # Without a pause in which nothing comes, the writer's patience ends the run.
    pause_s = chance.choice([0.001, 0.05, 0.05, 0.1, 0.1, 0.1])
    engine = LoggingEngine(ExperimentConfig("late", base_dir, run_name=f"run-{number}"))
    pids = [
        fork(partial(work, engine, counters, worker, THREADS, pause_s)) for worker in range(WORKERS)
    ]
    time.sleep(chance.random() * LONGEST_S)
    while number == 0 and not any(counters.values()[1:]):  # one run at least has rows
        time.sleep(0.001)
    engine.close()
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0, "a call after the end did not raise"
    print(json.dumps([engine.run_dir, counters.values()[1:]]))
