"""Logs a run with expman-rs, in an interpreter that has it.

log_with_expman_rs.py BASE_DIR RUN_NAME: says "logged", then waits for "close", "fail" or a kill.
"""

import sys
import time

import expman

base_dir, run_name = sys.argv[1:]
is_new = hasattr(expman, "load_runs")
extra = {"tags": ["arm:tiered", "study:1"], "description": "ä", "group": "g"} if is_new else {}
run = expman.Experiment(
    "peer", run_name=run_name, base_dir=base_dir, redirect_console=False, **extra
)
run.log_params({"lr": 1e-5, "n": 3, "on": True, "text": "yes", "day": "2026-01-01"})
for step in range(120):
    run.log_vector({"loss": 1 / (step + 1), **({"acc": step} if step % 2 else {})}, step=step)
run.log_vector({"loss": 0.5}, step=119)
run.log_vector({"other": 5.0})
run.log_scalar("best", 0.5)
run.info("hello")
time.sleep(1.5)  # its flush interval: what a kill leaves is then in the files
print("logged", flush=True)
if sys.stdin.readline().strip() == "fail" and is_new:
    run.close(status="FAILED", reason="because")
else:
    run.close()
