"""Curves of the samples of the machine, over the time since the first one."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import pyarrow as pa
import pyarrow.compute as pc

from expman.reading.columns import no_such_column
from expman.reading.curves import Curve, thin
from expman.reading.vectors import metric_names, read_vectors
from expman.storage.paths import SYSTEM

__all__ = ["system_curves"]

_USUAL = (
    ("tree.cpu_pct", "cpu.util_pct"),
    ("tree.rss_gb", "proc.rss_gb", "mem.used_gb"),
    ("gpu.*.util_pct",),
    ("gpu.*.mem_used_mb",),
)
"""What is shown if nothing is asked for: of each line the first that is there."""


def system_curves(
    run_dir: str, wanted: Sequence[str] = (), *, points: int
) -> dict[str, dict[str, Curve]]:
    """Reads curves over minutes, by what is wanted and by column.

    Args:
        run_dir: the run's directory.
        wanted: columns, or patterns such as `gpu.*.util_pct` whose columns belong together; if
            none, processors, memory and GPUs, as far as there are samples of them.
        points: at most so many points for each curve.

    Raises:
        ConfigError: a column or a pattern is not there.
        StorageError: a file cannot be read.
    """
    names = metric_names(run_dir, SYSTEM)
    charts = {one: _matching(names, one) for one in wanted}
    missing = [one for one, found in charts.items() if not found]
    if missing:
        raise no_such_column(f"the samples of run {run_dir} have no column", missing, names)
    for choice in _USUAL if not wanted else ():
        found = next((one for one in choice if _matching(names, one)), None)
        if found is not None:
            charts[found] = _matching(names, found)
    columns = list(dict.fromkeys(name for found in charts.values() for name in found))
    table = read_vectors(run_dir, ["timestamp", *columns], stem=SYSTEM)
    minutes = _minutes(table["timestamp"])
    curves = {name: thin(minutes, table[name], points) for name in columns}
    return {one: {name: curves[name] for name in found} for one, found in charts.items()}


def _matching(names: Sequence[str], pattern: str) -> list[str]:
    return [name for name in names if fnmatchcase(name, pattern)]


def _minutes(moments: pa.ChunkedArray) -> pa.ChunkedArray:
    micros = moments.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    first = pc.min(micros)
    return pc.divide(pc.subtract(micros, first).cast(pa.float64()), 6e7)
