"""Reads a run with expman-rs, in an interpreter that has it, and prints what it found as JSON.

read_with_expman_rs.py RUN_DIR
"""

import json
import os
import sys

import expman

run_dir = sys.argv[1]
found = {
    "run": expman.load_run(run_dir),
    "config": expman.load_config(run_dir),
    "metrics": expman.read_metrics(run_dir),
    "runs": expman.load_runs(os.path.dirname(os.path.dirname(run_dir))),
}
print(json.dumps(found))
