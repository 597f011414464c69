"""Logs rows, and records of a kind that a test has added to the package.

log_by_seams.py BASE_DIR: prints the run's directory. Then each line on stdin is a command:
"log N" logs N more notes and rows, "close" ends the run.
"""

from __future__ import annotations

import sys

from expman import ExperimentConfig, LoggingEngine

NOTE = 40

engine = LoggingEngine(ExperimentConfig("seams", sys.argv[1], run_name="run"))
print(engine.run_dir, flush=True)
logged = 0
for line in sys.stdin:
    command, _, count = line.strip().partition(" ")
    if command == "close":
        engine.close()
        print("closed", flush=True)
        break
    for n in range(logged, logged + int(count)):
        engine._lane.publish(NOTE, f"note {n}")
        engine.log_vector({"n": n}, n)
    logged += int(count)
    print("logged", flush=True)
