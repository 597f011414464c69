"""Logs rows when it is told to, and ends in the way it is told.

log_and_wait.py BASE_DIR: prints the run's directory; then takes lines from standard input:
`log N` logs N rows and answers `logged`; `close`, `raise`, `exit N` and `return` end it.
"""

from __future__ import annotations

import sys

from expman import ExperimentConfig, LoggingEngine

engine = LoggingEngine(ExperimentConfig("ends", sys.argv[1], run_name="run"))
print(engine.run_dir)
logged = 0
for line in sys.stdin:
    word, *rest = line.split()
    if word == "log":
        for _ in range(int(rest[0])):
            engine.log_vector({"n": logged}, logged)
            logged += 1
        print("logged")
    elif word == "close":
        engine.close()
        print("closed")
    elif word == "raise":
        raise ArithmeticError("the loss is not a number")
    elif word == "exit":
        sys.exit(int(rest[0]))
    else:
        break
