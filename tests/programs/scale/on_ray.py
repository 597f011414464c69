"""Catalog, import and rows of many runs with Ray: on_ray.py BASE_DIR SOURCES FLAG.

A worker kills itself once. Prints what does not agree with what this process finds alone.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
import ray

import expman
from expman.scale.ray import build_catalog, import_runs, job_map, vectors

base_dir, sources, flag = sys.argv[1:]


def kill_once(function: Callable[[Any], Any], job: Any) -> Any:
    """Does a job, unless it is the first one of all."""
    try:
        os.unlink(flag)
    except FileNotFoundError:
        return function(job)
    os.kill(os.getpid(), signal.SIGKILL)


def killing(function: Callable[[Any], Any], jobs: Iterable[Any], /) -> Iterator[Any]:
    """A job map of which a worker dies."""
    yield from job_map()(functools.partial(kill_once, function), jobs)


def in_order(table: pa.Table) -> pa.Table:
    """The rows by run and number, with plain text for the names."""
    for name in ("experiment", "run"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table[name].cast(pa.string()))
    return table.sort_by([(name, "ascending") for name in ("run", "step", "_seq")]).combine_chunks()


def check_rows(columns: list[str] | None) -> None:
    """Compares rows of a dataset with those of `expman.vectors`."""
    found = vectors(base_dir, columns, chunk_runs=7)
    tables = [table for table in ray.get(found.to_arrow_refs()) if table.num_rows]
    expected = expman.vectors(expman.runs(base_dir), columns)
    spread = pa.concat_tables(tables)
    if columns is None:
        keys = [("run", "ascending"), ("step", "ascending")]
        names = ("experiment", "run")
        spread, expected = (
            pa.table(
                [one[n].cast(pa.string()) if n in names else one[n] for n in one.column_names],
                names=one.column_names,
            ).sort_by(keys)
            for one in (spread, expected)
        )
    else:
        spread, expected = in_order(spread), in_order(expected)
    assert expected.column_names == spread.column_names
    assert expected.combine_chunks().equals(spread.combine_chunks()), (expected, spread)


ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
report = build_catalog(base_dir, tasks=killing)
again = build_catalog(base_dir)
print("catalog", report.runs, report.read, report.parts, report.compacted, report.live, again.read)
for wanted in (None, ["step", "loss", "_producer", "_seq"]):
    check_rows(wanted)
imported = import_runs(sources, base_dir, experiment="imported")
twice = import_runs(sources, base_dir, experiment="imported")
print("imported", sorted(os.path.basename(one.run_dir) for one in imported.values()))
print("as before", {one.report for one in twice.values()})
ray.shutdown()
