"""Logs three rows while something writes to the numbers of the closed standard streams.

log_with_stray_output.py BASE_DIR
"""

from __future__ import annotations

import os
import sys

import expman

with expman.Experiment("where", "run", sys.argv[1]) as run:
    for n in range(3):
        for number in (0, 1, 2):
            try:
                os.write(number, b"as a library written in C may do\n" * 100)
            except OSError:
                pass  # it is closed, or not for writing
        run.log_vector({"n": n}, n)
