"""Three ranks of one run that wait: wait_as_ranks.py BASE_DIR.

Prints the run's directory and the pids of ranks 1 and 2, once they have logged 5 rows each. At the
next line rank 1 is killed; at the one after it, the run ends.
"""

from __future__ import annotations

import os
import subprocess
import sys

import expman
from expman import ExperimentConfig, LoggingEngine

base_dir, *address = sys.argv[1:]
os.environ.setdefault("WORLD_SIZE", "3")
os.environ.setdefault("RANK", "0")
if address:
    engine = expman.attach(address[0])
    for step in range(5):
        engine.log_vector({"loss": 1.0}, step)
    print("logged", flush=True)
    sys.stdin.readline()
    sys.exit()
engine = LoggingEngine(ExperimentConfig("ranks", base_dir, run_name="node"))
children = [
    subprocess.Popen(
        [sys.executable, __file__, base_dir, engine.address],
        env={**os.environ, "RANK": str(rank)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    for rank in (1, 2)
]
for child in children:
    assert child.stdout is not None
    child.stdout.readline()
engine.log_vector({"loss": 1.0}, 0)
engine.flush()
print(engine.run_dir, *(child.pid for child in children), flush=True)
sys.stdin.readline()
children[0].kill()
children[0].wait()
print("killed", flush=True)
sys.stdin.readline()
children[1].communicate("\n")
engine.close()
