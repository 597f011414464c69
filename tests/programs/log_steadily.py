"""Logs rows at a steady rate until a line comes on standard input; new metrics join now and then.

log_steadily.py BASE_DIR ROWS_PER_SECOND [same]: prints the run's directory, and once the run has
ended the number of rows. With `same` no metric joins.
"""

from __future__ import annotations

import select
import sys
import time

from expman import ExperimentConfig, LoggingEngine

base_dir, rate = sys.argv[1], float(sys.argv[2])
same = "same" in sys.argv[3:]
with LoggingEngine(ExperimentConfig("live", base_dir, run_name="run")) as engine:
    engine.log_params({"rate": rate})
    print(engine.run_dir)
    start = time.monotonic()
    n = 0
    while not select.select([sys.stdin], [], [], 0.001)[0]:
        passed_s = time.monotonic() - start
        while n < passed_s * rate:
            second = 0 if same else int(passed_s)
            engine.log_vector({"n": n, "half": n / 2, f"second {second}": passed_s}, n)
            n += 1
print(n)
