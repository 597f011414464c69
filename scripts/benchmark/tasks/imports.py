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
    """Imports the contestant `times` times; the first time, which warms the disk, is left out."""
    assert contestant.imports is not None
    command = [sys.executable, "-c", _CODE, contestant.imports]
    took = []
    for _ in range(1 + params["times"]):
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        took.append(int(output.rsplit("took ", 1)[1]) / 1e6)
    return {"import_ms": statistics.median(took[1:]), "fastest_ms": min(took[1:])}
