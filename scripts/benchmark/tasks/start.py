"""From the construction of a run to its first row, in a process that has just begun."""

from __future__ import annotations

import importlib
from typing import Any

from benchmark.child import load
from benchmark.contestants import Contestant
from benchmark.timing import clock, make_rows


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Measures it; the import comes before."""
    if contestant.imports is not None:
        importlib.import_module(contestant.imports)
    module = load(contestant)
    row = make_rows(2)[0]
    start = clock()
    opened = module.open_run(directory, contestant.variant)
    made = clock()
    opened.log(row, 0)
    first = clock()
    opened.close()
    closed = clock()
    return {
        "open_ms": (made - start) / 1e6,
        "first_call_ms": (first - made) / 1e6,
        "first_row_ms": (first - start) / 1e6,
        "close_ms": (closed - first) / 1e6,
    }
