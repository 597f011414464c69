"""On PYTHONPATH, sets the clock that a process sees by the seconds in the file SKEW_FILE.

The clock of the machine, and the one that nobody sets (time.monotonic), stay as they are.
"""

from __future__ import annotations

import os
import time

true_time_ns = time.time_ns
path = os.environ["SKEW_FILE"]


def skewed_time_ns() -> int:
    with open(path) as file:
        return true_time_ns() + int(file.read()) * 10**9


time.time_ns = skewed_time_ns
time.time = lambda: skewed_time_ns() / 1e9
