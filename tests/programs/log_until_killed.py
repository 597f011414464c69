"""Logs rows at full speed until it is killed, by itself after ROWS rows if that is not 0.

log_until_killed.py BASE_DIR RUN_NAME COUNTER_FILE ROWS

The number of calls that have returned stands in COUNTER_FILE, a mapping: it survives SIGKILL.
"""

from __future__ import annotations

import itertools
import mmap
import os
import signal
import sys

from expman import ExperimentConfig, LoggingEngine

base_dir, run_name, counter_file, rows = sys.argv[1:]
own_end = int(rows)
with open(counter_file, "r+b") as file:
    returned = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")

engine = LoggingEngine(ExperimentConfig("kill", base_dir, run_name=run_name))
for n in itertools.count():
    # Two sets of metrics take turns, so that rows, not runs of rows, are what must be whole.
    row = {"n": n, "half": n / 2} if n % 7 else {"n": n, "seventh": n // 7}
    engine.log_vector(row, n)
    returned[0] = n + 1
    if n + 1 == own_end:
        os.kill(os.getpid(), signal.SIGKILL)
