"""Logs a row and waits for a signal: says which one came, logs once more, ends with 5.

obey_signals.py BASE_DIR
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

from expman import ExperimentConfig, LoggingEngine


def answer(number: int, _: FrameType | None) -> None:
    print(signal.Signals(number).name)
    engine.log_vector({"n": 1}, 1)
    if number == signal.SIGTERM:
        engine.close("FAILED", reason="told to stop")
        sys.exit(5)


engine = LoggingEngine(ExperimentConfig("signals", sys.argv[1], run_name="run"))
engine.log_vector({"n": 0}, 0)
for each in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
    signal.signal(each, answer)
print("ready")
while True:
    signal.pause()
