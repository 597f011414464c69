"""For scripts/bench_kill: logs with one peer and is killed; counts what is there afterwards.

bench_kill.py log PEER DIR, bench_kill.py count PEER DIR MICROSECONDS
"""

from __future__ import annotations

import os
import re
import signal
import struct
import sys
import time
from pathlib import Path

ROWS = 10_000


def log(peer: str, directory: str) -> None:
    """Logs ROWS rows of two metrics, prints the time per call, kills this process."""
    if peer == "tensorboardX":
        from tensorboardX import SummaryWriter

        writer = SummaryWriter(directory)

        def log_row(n: int) -> None:
            writer.add_scalar("loss", 1 / (n + 1), n)
            writer.add_scalar("accuracy", n / ROWS, n)
    else:  # the same names in both
        import expman

        run = expman.Experiment("kill", "run", directory)

        def log_row(n: int) -> None:
            run.log_vector({"loss": 1 / (n + 1), "accuracy": n / ROWS}, n)

    begin = time.perf_counter()
    for n in range(ROWS):
        log_row(n)
    took_s = time.perf_counter() - begin
    os.write(1, f"{1e6 * took_s / ROWS:.2f}".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def count(peer: str, directory: str, took_us: str) -> None:
    """Prints a line of the table."""
    place = Path(directory)
    if peer == "tensorboardX":
        rows, status = sum(_events(path) for path in place.rglob("*tfevents*")) // 2, "has none"
    else:
        rows = _rows(place / "kill" / "run")
        text = (place / "kill" / "run" / "run.yaml").read_text()
        status = re.findall(r"^status: *(\w+)", text, re.MULTILINE)[0]
    print(f"| {peer} | {rows:,} | {status} | {took_us} |")


def _rows(run_dir: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    steps = set()
    for path in run_dir.glob("vectors*"):
        try:
            if path.suffix == ".parquet":
                steps.update(pq.read_table(path, columns=["step"])["step"].to_pylist())
            else:
                for batch in pa.ipc.open_stream(path):
                    steps.update(batch.column("step").to_pylist())
        except (pa.ArrowInvalid, OSError) as exc:
            print(f"{path}: {exc}", file=sys.stderr)
    return len(steps)


def _events(path: Path) -> int:
    """Scalars in a file of TFRecords: length, its checksum, data, its checksum."""
    data, offset, found = path.read_bytes(), 0, 0
    while offset + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, offset)
        if offset + 16 + length > len(data):
            break
        found += b"loss" in data[offset : offset + 12 + length]
        found += b"accuracy" in data[offset : offset + 12 + length]
        offset += 16 + length
    return found


if __name__ == "__main__":
    {"log": log, "count": count}[sys.argv[1]](*sys.argv[2:])
