"""Logs into several runs, one after the other or all at once, through a writer that it is told.

log_to_writer.py BASE_DIR RUNS AT_ONCE [WRITER]: prints each run's address and directory, as JSON,
once all have ended, and the number of its own threads. Each run has 10 rows.
"""

from __future__ import annotations

import json
import sys
import threading

from expman import ExperimentConfig, LoggingEngine

base_dir, runs, at_once = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "True"
writer = sys.argv[4] if len(sys.argv) > 4 else None
ended = []


def finish(engine: LoggingEngine) -> None:
    """Logs the rows and closes the run."""
    for n in range(10):
        engine.log_vector({"n": n}, n)
    engine.close()
    ended.append([engine.address, engine.run_dir])


opened = []
for _ in range(runs):
    engine = LoggingEngine(ExperimentConfig("shared", base_dir, writer=writer))
    opened.append(engine)
    if not at_once:
        finish(engine)
        opened.clear()
for engine in opened:
    finish(engine)
print(json.dumps({"runs": ended, "threads": threading.active_count()}))
