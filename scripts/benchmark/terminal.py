"""What the command takes with very many runs: `scripts/bench --terminal`.

Each command is a process of its own, its output goes into a pipe, and the files are in the page
cache. Times are those from start to end, and the processor time of the process.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmark.many_runs import make_runs

__all__ = ["measure_terminal"]

RUNS, TINY_RUNS = 10_000, 30
COMPARED = 100
REPEATS = 5


def measure_terminal(tiny: bool, scratch: str | None) -> Iterator[tuple[str, str]]:
    """Measures each command on runs that are made for it.

    Args:
        tiny: only to try the harness.
        scratch: where the runs are written.

    Yields:
        A command, and the median of its times.
    """
    runs = TINY_RUNS if tiny else RUNS
    with tempfile.TemporaryDirectory(prefix="bench-", dir=scratch) as directory:
        base = Path(directory) / "experiments"
        make_runs(base, runs, rows=50, processes=os.cpu_count() or 1)
        first = sorted(path.name for path in next(p for p in base.iterdir()).iterdir())[:COMPARED]
        by_status = "SELECT status, count(*) FROM runs GROUP BY 1"
        best_rows = "SELECT run, min(loss) FROM rows GROUP BY 1"
        commands = {
            "expman --version": ["--version"],
            f"expman ls, {runs:,} runs": ["ls"],
            f"expman ls -n 20, of {runs:,} runs": ["ls", "-n", "20"],
            f"expman ls --where 'lr < 0.01', {runs:,} runs": ["ls", "--where", "lr < 0.01"],
            f"expman ls --sort loss:min, {runs:,} runs": ["ls", "--sort", "loss:min"],
            f"expman compare, {len(first)} runs": ["compare", *first],
            f"expman sql over runs, {runs:,} runs": ["sql", by_status],
            f"expman sql over rows, {runs:,} runs": ["sql", best_rows],
            f"expman top --once, {runs:,} runs": ["top", "--once"],
        }
        for what, arguments in commands.items():
            wall, processor = _median([*arguments], base)
            yield what, f"{wall:.2f} s, {processor:.2f} s of a processor"


def _median(arguments: list[str], base: Path) -> tuple[float, float]:
    found = []
    for _ in range(REPEATS):
        before, began = os.times(), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "expman.cli", *arguments],
            env={**os.environ, "EXPMAN_BASE_DIR": str(base)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        after = os.times()
        spent = after.children_user + after.children_system
        spent -= before.children_user + before.children_system
        found.append((time.perf_counter() - began, spent))
    return statistics.median(wall for wall, _ in found), statistics.median(cpu for _, cpu in found)
