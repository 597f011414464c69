"""Logs at full speed until a signal ends it, in the way that it is told.

end_on_signal.py BASE_DIR default|handler|slow: with `handler` SIGTERM and SIGHUP become
sys.exit(128 + number); with `slow` they are noticed, and the program logs for 12 s more. Prints
its run's directory when it has logged the first row; COUNTER_FILE has the number of calls that
have returned.

end_on_signal.py BASE_DIR WAY COUNTER_FILE
"""

from __future__ import annotations

import itertools
import mmap
import signal
import sys
import time

from expman import ExperimentConfig, LoggingEngine

SLOW_S = 12.0
base_dir, way, counter_file = sys.argv[1:]
with open(counter_file, "r+b") as file:
    returned = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
end_at: float | None = None


def leave(number: int, frame: object) -> None:
    sys.exit(128 + number)


def leave_later(number: int, frame: object) -> None:
    global end_at
    end_at = time.monotonic() + SLOW_S


handler = {"default": signal.SIG_DFL, "handler": leave, "slow": leave_later}[way]
for number in (signal.SIGTERM, signal.SIGHUP):  # under nohup SIGHUP would be ignored
    signal.signal(number, handler)
signal.signal(signal.SIGINT, signal.default_int_handler)
engine = LoggingEngine(ExperimentConfig("signals", base_dir, run_name="run"))
for n in itertools.count():
    engine.log_vector({"n": n, "half": n / 2}, n)
    returned[0] = n + 1
    if n == 0:
        engine.flush()
        print(engine.run_dir, flush=True)
    if n % 100 == 0:
        time.sleep(0.001)
    if end_at is not None and time.monotonic() > end_at:
        sys.exit(7)
