"""Logs three rows in a daemonic child process, which may not have children by multiprocessing.

log_in_child.py BASE_DIR START_METHOD
"""

from __future__ import annotations

import multiprocessing
import sys

import expman


def log_three_rows(base_dir: str) -> None:
    with expman.Experiment("where", "run", base_dir) as run:
        for n in range(3):
            run.log_vector({"n": n}, n)


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    child = context.Process(target=log_three_rows, args=(sys.argv[1],), daemon=True)
    child.start()
    child.join()
    sys.exit(child.exitcode)
