"""Forked ranks log into one run: log_in_ranks.py BASE_DIR RANKS ROWS WAY.

If WAY is "live", each logs its last row when the writer has made ranks.parquet.
"""

from __future__ import annotations

import os
import sys
import time

from expman import ExperimentConfig, LoggingEngine

base_dir, ranks, rows, way = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
os.environ.update(RANK="0", WORLD_SIZE=str(ranks))
engine = LoggingEngine(ExperimentConfig("ranks", base_dir, run_name="node"))
children = []
rank = 0
for number in range(1, ranks):
    child = os.fork()
    if not child:
        os.environ["RANK"] = str(number)
        rank, children = number, []
        break
    children.append(child)
for step in range(rows):
    deadline = time.monotonic() + 120
    while way == "live" and step == rows - 1 and time.monotonic() < deadline:
        if os.path.exists(os.path.join(engine.run_dir, "ranks.parquet")):
            break
        time.sleep(0.01)
    engine.log_vector({"loss": 1 / (step + 1) + rank}, step)
if rank:
    os._exit(0)
for child in children:
    os.waitpid(child, 0)
engine.close()
