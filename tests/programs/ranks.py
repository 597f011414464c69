"""A rank of a job that torchrun starts: ranks.py BASE_DIR.

In `apart` each rank has a run of its own. In `together` rank 0 owns the run, tells the others where
it is, and they log into it.
"""

from __future__ import annotations

import os
import sys

import torch.distributed as dist

import expman
from expman import ExperimentConfig, LoggingEngine

ROWS = 50


def share(config: ExperimentConfig) -> LoggingEngine:
    """One run for all ranks: rank 0 owns it, and the others attach."""
    engine = LoggingEngine(config) if dist.get_rank() == 0 else None
    box = [engine.address if engine is not None else None]
    dist.broadcast_object_list(box, src=0)
    return engine if engine is not None else expman.attach(box[0])


def main() -> None:
    """Logs some rows each way, and ends when all have."""
    dist.init_process_group("gloo")
    for way in ("apart", "together"):
        config = ExperimentConfig("ranks", os.path.join(sys.argv[1], way), run_name="run")
        engine = LoggingEngine(config) if way == "apart" else share(config)
        rank = int(os.environ["RANK"])
        for n in range(ROWS):
            engine.log_vector({"n": n, "of": rank}, n)
        dist.barrier()
        engine.close()
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
