"""Logs three rows in a notebook's kernel, a row for each cell.

log_in_notebook.py BASE_DIR
"""

from __future__ import annotations

import sys

import nbclient
import nbformat

cells = [
    f"import expman; run = expman.Experiment('where', 'run', {sys.argv[1]!r})",
    *(f"run.log_vector({{'n': {n}}}, {n})" for n in range(3)),
    "run.close()",
]
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
nbclient.NotebookClient(notebook, timeout=250, kernel_name="python3").execute()
print("logged")
