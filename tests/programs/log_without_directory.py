"""Logs three rows from a working directory that has been removed.

log_without_directory.py BASE_DIR
"""

from __future__ import annotations

import os
import sys
import tempfile

import expman

gone = tempfile.mkdtemp(dir=os.path.dirname(sys.argv[1]))
os.chdir(gone)
os.rmdir(gone)
with expman.Experiment("where", "run", sys.argv[1]) as run:
    for n in range(3):
        run.log_vector({"n": n}, n)
print("logged")
