"""How long `import` takes, each time in a new interpreter."""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import Any

from benchmark.contestants import Contestant

_CODE = """
import sys, time
start = time.perf_counter_ns()
__import__(sys.argv[1])
print("took", time.perf_counter_ns() - start)
"""


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Imports the contestant `times` times; the first time, which warms the disk, is left out.

    With `beside`, the name of another module, the two take turns, and their ratio is given.
    """
    assert contestant.imports is not None
    names = [contestant.imports, *([params["beside"]] if params.get("beside") else [])]
    took: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(1 + params["times"]):
        for name in names:
            ms = _import_ms(name)
            if turn:
                took[name].append(ms)
    ours = took[names[0]]
    found = {"import_ms": statistics.median(ours), "fastest_ms": min(ours)}
    if len(names) > 1:
        found["ratio"] = min(ours) / min(took[names[1]])
    return found


def _import_ms(name: str) -> float:
    command = [sys.executable, "-c", _CODE, name]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(output.rsplit("took ", 1)[1]) / 1e6
