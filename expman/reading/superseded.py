"""Reader of the rows that a later attempt of a run has superseded."""

from __future__ import annotations

import json
import os

import pyarrow as pa

from expman.reading.columns import FIXED, stack, wider
from expman.reading.parquetfile import VectorsParquet
from expman.reading.tailfiles import unreadable
from expman.storage.arrowfile import open_arrow, read_parquet
from expman.storage.contents import SUPERSEDED_KEY
from expman.storage.paths import storage_error, superseded_name

__all__ = ["read_superseded"]

_FIRST = ("step", "timestamp", "_attempt", "_producer", "_seq")


def read_superseded(run_dir: str) -> pa.Table:
    """Reads all superseded rows of a run, those of the first take-over first.

    Returns:
        `step`, `timestamp`, `_attempt`, `_producer`, `_seq` and the metrics.

    Raises:
        StorageError: a file cannot be read.
    """
    tables = [_read(os.path.join(run_dir, superseded_name(n + 1))) for n in range(_count(run_dir))]
    types: dict[str, pa.DataType] = {name: FIXED[name] for name in _FIRST}
    for table in tables:
        for field in table.schema:
            types[field.name] = wider(types.get(field.name), field.type)
    return stack(tables, types)


def _count(run_dir: str) -> int:
    """How many files there are; one more may belong to a move that was not completed."""
    parquet = VectorsParquet.open(run_dir)
    if parquet is None:
        return 0
    with parquet:
        metadata = parquet.schema.metadata or {}
    count, _ = json.loads(metadata.get(SUPERSEDED_KEY.encode(), b"[0, 0]"))
    return int(count)


def _read(path: str) -> pa.Table:
    try:
        with open_arrow(path, follow=True) as source:
            table = read_parquet(source)
    except (pa.ArrowException, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno:
            raise storage_error(path, exc) from exc
        raise unreadable(path, exc) from exc
    if "_attempt" not in table.column_names:
        first = pa.array([1] * table.num_rows, FIXED["_attempt"])
        table = table.append_column("_attempt", first)
    return table
