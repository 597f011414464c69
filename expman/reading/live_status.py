"""What a live run does at this moment: its pace, its latest values, whether it stands still."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from expman.errors import ExpmanError
from expman.metadata import RunMetadata
from expman.models import MetricValue
from expman.reading.params import flat_params
from expman.reading.run import Run
from expman.storage.paths import RUN_YAML
from expman.storage.times import parse_time

__all__ = ["LiveStatus", "MachineUse", "RowPace", "live_status", "silence"]

RECENT_ROWS = 500
"""Rows of a run by which its pace is measured."""
SILENT_S = 90.0
"""After so long without a heartbeat, nobody may be left who writes; it is due every 30 s."""
_TOTALS = (
    *("max_steps", "total_steps", "num_steps", "num_train_steps", "n_steps", "max_iters"),
    "steps",
)
_GPU = re.compile(r"gpu\.\d+\.util_pct")
_CPU = ("tree.cpu_pct", "proc.cpu_pct")
_MEMORY = ("tree.rss_gb", "proc.rss_gb")


@dataclass(frozen=True)
class RowPace:
    """How a run's rows come.

    Attributes:
        rows: rows that are written.
        step: step of the owner's newest row that has one; else of anybody's.
        total: steps that the run takes, if a parameter has that.
        rows_per_s: pace of the newest rows; None if there are too few.
        last_row_s: seconds since the newest row; None if there is none.
    """

    rows: int
    step: int | None
    total: int | None
    rows_per_s: float | None
    last_row_s: float | None


@dataclass(frozen=True)
class MachineUse:
    """What a run takes of its machine, in its newest sample; None for what was not sampled.

    Attributes:
        cpu_pct: processors of the process tree, 100 for each.
        memory_gb: memory of the process tree.
        gpu_pct: mean use of the GPUs.
    """

    cpu_pct: float | None
    memory_gb: float | None
    gpu_pct: float | None


@dataclass(frozen=True)
class LiveStatus:
    """One look at a live run.

    Attributes:
        path, experiment, name: the run.
        running_s: seconds since its start; None if that is unknown.
        pace: how its rows come.
        machine: what it takes of its machine.
        latest: latest values of metrics.
        stalled_s: seconds for which it has stood still; None if it does not.
        silent_s: seconds without a sign of life, if there are too many.
    """

    path: str
    experiment: str
    name: str
    running_s: float | None
    pace: RowPace
    machine: MachineUse
    latest: Mapping[str, MetricValue]
    stalled_s: float | None
    silent_s: float | None


def live_status(run: Run) -> LiveStatus | None:
    """Looks at a run; None if it has ended.

    Raises:
        StorageError: a file cannot be read.
    """
    if not run.is_live:
        return None
    summary = run.summary()
    meta, took = summary.metadata, summary.duration
    now = time.time()
    return LiveStatus(
        path=run.path,
        experiment=run.experiment,
        name=run.name,
        running_s=None if took is None else took.total_seconds(),
        pace=_row_pace(run, meta.rows_written, now),
        machine=_machine(run),
        latest=meta.vectors,
        stalled_s=_since(meta.stalled_since, now),
        silent_s=silence(run.path, meta, now),
    )


def _row_pace(run: Run, rows: int, now: float) -> RowPace:
    recent = run.vectors(["step", "timestamp", "_producer"], last=RECENT_ROWS)
    moments = _seconds(recent["timestamp"])
    own = recent.filter(pc.fill_null(pc.equal(recent["_producer"], "main"), False))["step"]
    steps = own.drop_null() if own.null_count < len(own) else recent["step"].drop_null()
    return RowPace(
        rows=rows,
        step=steps[-1].as_py() if len(steps) else None,
        total=_total(run),
        rows_per_s=_rows_per_s(moments, now),
        last_row_s=max(0.0, now - moments[-1]) if moments else None,
    )


def _seconds(column: pa.ChunkedArray) -> list[float]:
    micros = column.cast(pa.timestamp("us")).cast(pa.int64()).drop_null().to_pylist()
    return sorted(value / 1e6 for value in micros)


def _rows_per_s(moments: list[float], now: float) -> float | None:
    """Rows per second, until now: rows that have stopped to come make it fall."""
    if len(moments) < 2:
        return None
    span = max(moments[-1] - moments[0], 1e-6)
    spacing = span / (len(moments) - 1)
    late = now - moments[-1] - 10 * spacing - 5.0  # what a writer may hold back is not late
    return (len(moments) - 1) / (span + max(0.0, late))


def _total(run: Run) -> int | None:
    try:
        params = flat_params(run.config)
    except ExpmanError:
        return None
    named = {key.rpartition(".")[2]: value for key, value in reversed(params.items())}
    for name in _TOTALS:
        total = named.get(name)
        if isinstance(total, int) and not isinstance(total, bool) and total > 0:
            return total
    return None


def _machine(run: Run) -> MachineUse:
    try:
        rows = run.system(last=1).to_pylist()
    except ExpmanError:
        rows = []
    found = {key: float(v) for row in rows for key, v in row.items() if isinstance(v, int | float)}
    return MachineUse(
        cpu_pct=next((found[name] for name in _CPU if name in found), None),
        memory_gb=next((found[name] for name in _MEMORY if name in found), None),
        gpu_pct=_mean([found[name] for name in found if _GPU.fullmatch(name)]),
    )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _since(moment: str | None, now: float) -> float | None:
    found = parse_time(moment)
    return None if found is None else max(0.0, now - found.timestamp())


def silence(run_dir: str, meta: RunMetadata, now: float) -> float | None:
    """Seconds without a sign of life of a live run's writer, if there are too many."""
    try:
        renewed = os.stat(os.path.join(run_dir, RUN_YAML)).st_mtime
    except OSError:
        renewed = 0.0
    said = parse_time(meta.heartbeat_at)
    silent = now - max(renewed, said.timestamp() if said else 0.0)
    return silent if silent > SILENT_S else None
