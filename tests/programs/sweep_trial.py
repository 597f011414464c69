"""A trial: logs a loss that follows from its parameters; may wait for a file, or fail."""

import os
import sys
import time
from pathlib import Path

import expman

params = expman.sweep_params()
wait_for = os.environ.get("WAIT_FOR")
with expman.init("trials", config=params, quiet=True, system_metrics_interval_secs=0):
    with Path(os.environ["STARTED"]).open("a") as file:
        file.write(f"{params['n']}\n")
    for step in range(int(os.environ.get("STEPS", "3"))):
        expman.log_vector({"loss": float(params["n"]) + 1 / (step + 1)}, step)
        time.sleep(float(os.environ.get("PAUSE", "0")))
    while wait_for and not Path(wait_for).exists():
        time.sleep(0.02)
    if os.environ.get("FAILS") == str(params["n"]):
        sys.exit(3)
