"""Logs three rows in a notebook's kernel, a row and a line for each cell.

log_in_notebook.py BASE_DIR
"""

from __future__ import annotations

import sys

import nbclient
import nbformat

cells = [
    f"import expman; base = {sys.argv[1]!r}",
    "run = expman.Experiment('where', 'run', base, redirect_console=True)",
    *(f"run.log_vector({{'n': {n}}}, {n}); print('cell', {n})" for n in range(3)),
    "run.close()",
]
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
nbclient.NotebookClient(notebook, timeout=250, kernel_name="python3").execute()
print("logged")
