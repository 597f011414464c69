"""What the files of a run hold, read by plain pyarrow, and a short way to make rows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from expman.storage.columns import FIXED
from expman.storage.vectors import RowBlock, VectorStore

Row = tuple[str, int, int | None, int, dict[str, Any]]


def block(first_seq: int, columns: dict[str, list[Any]], producer: str = "main") -> RowBlock:
    """Rows whose step and time follow from their seq."""
    rows = len(next(iter(columns.values())))
    seqs = range(first_seq, first_seq + rows)
    return RowBlock(
        producer=producer,
        first_seq=first_seq,
        steps=[10 * seq for seq in seqs],
        timestamps_ns=[1_700_000_000_000_000_000 + 1_000 * seq for seq in seqs],
        keys=tuple(columns),
        columns=list(columns.values()),
    )


def tables(run_dir: Path) -> list[pa.Table]:
    """vectors.parquet, then the tail files in order."""
    found = []
    if (run_dir / "vectors.parquet").exists():
        found.append(pq.read_table(run_dir / "vectors.parquet", partitioning=None))
    for path in sorted(run_dir.glob("vectors-*.arrow")):
        with pa.OSFile(str(path)) as file:
            found.append(pa.ipc.open_stream(file).read_all())
    return found


def rows(run_dir: Path) -> list[Row]:
    """Every row of the files in their order; values by column, nulls left out."""
    found: list[Row] = []
    for table in tables(run_dir):
        for row in table.to_pylist():
            values = {
                name: value
                for name, value in row.items()
                if value is not None and name not in FIXED
            }
            micros = int(row["timestamp"].timestamp() * 1_000_000 + 0.5)
            found.append((row["_producer"], row["_seq"], row["step"], micros, values))
    return found


def seqs(run_dir: Path) -> list[int]:
    return [seq for table in tables(run_dir) for seq in table["_seq"].to_pylist()]


def same(left: Any, right: Any) -> bool:
    """Equal as stored: NaN is NaN, and -0.0 is not 0.0."""
    if isinstance(left, float) and isinstance(right, float):
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return type(left) is type(right) and bool(left == right)


def metric_of(run_dir: Path) -> dict[str, str]:
    """Column to metric, where they differ, from vectors.parquet's footer."""
    metadata = pq.read_schema(run_dir / "vectors.parquet").metadata or {}
    found: dict[str, str] = json.loads(metadata.get(b"expman.columns", b"{}"))
    return found


def finished(run_dir: Path, *blocks: RowBlock) -> pa.Table:
    """Stores the blocks, each with a flush of its own, and reads vectors.parquet."""
    store = VectorStore(str(run_dir))
    for one in blocks:
        store.append(one)
        store.flush()
    store.finish()
    return pq.read_table(run_dir / "vectors.parquet", partitioning=None)
