"""Runs of different columns, and what a catalog has of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from unit.reading.run_files import block, make_run

from expman import catalog
from expman.models import RunStatus
from expman.storage.catalog_files import read_manifest

REPOSITORY = Path(__file__).parents[2]


def make_runs(base: Path) -> None:
    """Finished runs of two kinds, some with another type or a text, and a live one."""
    columns = [
        {"loss": [0.5, 0.25]},
        {"loss": [1, 2]},
        {"loss": ["low", "high"], "note": ["a", None]},
        {"accuracy": [0.5, 1.0], "note": [1, 2]},
    ]
    for number in range(40):
        kind = 0 if number < 34 else number % 4
        make_run(
            base,
            f"r{number:03d}",
            block(0, columns[kind]),
            started_at=f"2026-01-31T12:00:{number:02d}.000000Z",
            params={"lr": number / 10},
            rows_written=2,
        )
    make_run(base, "live", block(0, columns[0]), status=RunStatus.RUNNING)


def cataloged(base: Path) -> pa.Table:
    """The table of all runs; a live one has lasted longer each time."""
    return catalog.open(base).drop_columns(["duration_s"])


def parts(base: Path) -> list[object]:
    """What the files with rows have, whatever their names are."""
    manifest = read_manifest(str(base))
    assert manifest is not None
    tables = [pq.read_table(base / ".catalog" / part.name) for part in manifest.parts]
    return sorted((table.to_pylist() for table in tables), key=str)
