"""Logs three rows; has no `__main__` guard on purpose.

log_three_rows.py BASE_DIR
"""

import sys

import expman

run = expman.Experiment("where", "run", sys.argv[1])
for n in range(3):
    run.log_vector({"n": n}, n)
run.close()
print("logged")
