"""Many metrics: bytes per row, and the time to read one column of them back."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from benchmark import processes
from benchmark.child import load
from benchmark.contestants import Contestant

READS = 20


def run(contestant: Contestant, directory: str, params: dict[str, Any]) -> dict[str, Any]:
    """Logs `rows` rows of `metrics` metrics, each with all its digits, and reads one column.

    With pyarrow, from the Parquet file that the contestant has made; the file is in the page
    cache.
    """
    import pyarrow.parquet as pq

    opened = load(contestant).open_run(directory, contestant.variant)
    names = [f"metric_{number}" for number in range(params["metrics"])]
    noise = random.Random(0).random
    for step in range(params["rows"]):
        opened.log({name: noise() for name in names}, step)
    opened.close()
    (path,) = Path(directory).rglob("vectors.parquet")
    times = []
    for turn in range(READS):
        name = names[turn * len(names) // READS]
        begin = time.perf_counter()
        table = pq.read_table(path, columns=["step", name], partitioning=None)
        times.append(time.perf_counter() - begin)
        assert table.num_rows == params["rows"]
    begin = time.perf_counter()
    pq.read_table(path, partitioning=None)
    return {
        "rows": params["rows"],
        "bytes_per_value": processes.disk_bytes(directory) / params["rows"] / params["metrics"],
        "read_ms": 1e3 * sorted(times)[READS // 2],
        "read_all_ms": 1e3 * (time.perf_counter() - begin),
    }
