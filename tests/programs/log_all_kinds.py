"""Logs rows of every kind of value, again for each line `more` on standard input, until it ends.

log_all_kinds.py BASE_DIR: prints the run's directory each time all rows are in files, and
`ended`.
"""

from __future__ import annotations

import sys

from interop_rows import PARAMS, ROWS

from expman import ExperimentConfig, LoggingEngine

config = ExperimentConfig("interop", sys.argv[1], run_name="run", tags=("a", "b"), description="ä")
with LoggingEngine(config) as engine:
    engine.log_params(PARAMS)
    engine.log_scalar("best", 0.5)
    engine.log_message("INFO", "hello")
    step = 0
    while True:
        for row in ROWS:
            engine.log_vector(row, step)
            step += 1
        engine.flush()
        print(engine.run_dir)
        if sys.stdin.readline() != "more\n":
            break
print("ended")
