"""The files of a run, read by plain pyarrow and yaml."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

__all__ = ["log_lines", "params", "rows", "run_yaml", "table", "wait_for_status"]


def run_yaml(run_dir: str | Path) -> dict[str, Any]:
    """What run.yaml says."""
    found: dict[str, Any] = yaml.safe_load(Path(run_dir, "run.yaml").read_text())
    return found


def params(run_dir: str | Path) -> dict[str, Any]:
    """What config.yaml says."""
    found: dict[str, Any] = yaml.safe_load(Path(run_dir, "config.yaml").read_text())
    return found


def table(run_dir: str | Path) -> pa.Table:
    """vectors.parquet as it is."""
    return pq.read_table(Path(run_dir, "vectors.parquet"), partitioning=None)


def rows(run_dir: str | Path) -> list[tuple[int | None, dict[str, Any]]]:
    """Step and values of each row of vectors.parquet, nulls left out."""
    fixed = ("step", "timestamp", "_producer", "_seq")
    return [
        (row["step"], {k: v for k, v in row.items() if k not in fixed and v is not None})
        for row in table(run_dir).to_pylist()
    ]


def log_lines(run_dir: str | Path) -> list[str]:
    """The lines of run.log without their time."""
    lines = Path(run_dir, "run.log").read_text().split("\n")
    assert "" == lines.pop()
    return [line if line.startswith(" ") else line.split(" ", 1)[1] for line in lines]


def wait_for_status(run_dir: str | Path, deadline_s: float = 30.0) -> dict[str, Any]:
    """Waits until the run has a final status and gives run.yaml."""
    deadline = time.monotonic() + deadline_s
    while (found := run_yaml(run_dir))["status"] == "RUNNING":
        assert time.monotonic() < deadline, f"{run_dir} is RUNNING after {deadline_s} s"
        time.sleep(0.01)
    return found
