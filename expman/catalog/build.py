"""Brings a catalog up to date: new and changed runs are read, all others are taken over."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from expman.catalog.compaction import Compaction
from expman.errors import StorageError
from expman.job_map import JobMap, in_this_process
from expman.models import RunStatus
from expman.reading.catalog_index import CatalogIndex, rows_of
from expman.reading.directories import run_dirs
from expman.reading.plain_arrays import int_array
from expman.reading.run_facts import FACTS, facts_of, facts_table
from expman.storage.catalog_files import (
    Manifest,
    ensure_catalog_dir,
    new_name,
    remove_unnamed,
    write_manifest,
    write_table,
)

__all__ = ["GROUP_ROWS", "CatalogReport", "build", "sorted_runs"]

GROUP_ROWS = 8192
"""A list reads some columns of the newest runs alone."""
_JOB_RUNS = 200
"""Runs whose facts are found by one job, and held as Python objects at once."""


@dataclass(frozen=True)
class CatalogReport:
    """What a call of `build` did.

    Attributes:
        runs: number of runs in the catalog.
        read: number of runs that were read from their directories.
        removed: number of runs that are not there any more.
        live: number of runs that go on, which stay outside.
        unreadable: number of runs that cannot be read, which stay outside.
        parts: number of files with rows of many runs.
        compacted: number of runs whose rows are in them.
        took_s: seconds.
    """

    runs: int
    read: int
    removed: int
    live: int
    unreadable: int
    parts: int
    compacted: int
    took_s: float


def build(
    base_dir: str | os.PathLike[str],
    *,
    anew: bool = False,
    progress: Callable[[int], None] | None = None,
    job_map: JobMap = in_this_process,
) -> CatalogReport:
    """Brings the catalog of a base directory up to date. Only `.catalog/` is written.

    It may be interrupted at any point, and may run more than once at the same time: a reader finds
    the version before or the version after.

    Args:
        base_dir: directory that holds all experiments.
        anew: do not use what is there.
        progress: is called with the number of runs that were read, from time to time.
        job_map: who reads runs and writes their rows, 200 and a thousand of them at a time: here
            one after the other, or `expman.scale.ray.job_map()`. Processes on other hosts need the
            base directory under the same path.

    Durability: the new version is durable when it returns.

    Raises:
        StorageError: the base directory does not exist, or the catalog cannot be written.
    """
    try:
        return _build(os.fspath(base_dir), anew, progress, job_map)
    except (LookupError, pa.ArrowException, ValueError):  # damaged, or of another version
        return _build(os.fspath(base_dir), True, progress, job_map)


class _Found(NamedTuple):
    """What is known of some runs.

    Attributes:
        table: of those that have ended.
        live, unreadable: how many others there are.
    """

    table: pa.Table
    live: int
    unreadable: int


def _build(
    base: str, anew: bool, progress: Callable[[int], None] | None, job_map: JobMap
) -> CatalogReport:
    began = time.monotonic()
    old = None if anew else CatalogIndex.open(base)
    current, others = (bytearray(), list(run_dirs(base, None))) if old is None else old.look(None)
    live = unreadable = read = 0
    tables: list[pa.Table] = [FACTS.empty_table()]
    jobs = [others[first : first + _JOB_RUNS] for first in range(0, len(others), _JOB_RUNS)]
    for found in job_map(_find_out, jobs):
        tables.append(found.table)
        read += found.table.num_rows
        live += found.live
        unreadable += found.unreadable
        if progress is not None:
            progress(read)
    ensure_catalog_dir(base)
    removed = 0 if old is None else old.rows - sum(current)
    if old is not None and not read and not removed:
        manifest, count, apart = old.manifest, old.rows, old.column("part").null_count
    else:
        compaction = Compaction(base, () if old is None else old.manifest.parts, job_map)
        held = int_array(rows_of(current))
        taken_over = [] if old is None else [old.table().take(held).cast(FACTS)]
        every = sorted_runs(compaction.apply(pa.concat_tables([*taken_over, *tables])))
        name = new_name("runs")
        write_table(base, name, every, group_rows=GROUP_ROWS)
        manifest = Manifest(made_at=time.time(), runs_file=name, parts=compaction.parts)
        write_manifest(base, manifest)
        count, apart = every.num_rows, every["part"].null_count
    remove_unnamed(base, manifest)
    return CatalogReport(
        *(count, read, removed, live, unreadable),
        *(len(manifest.parts), count - apart, time.monotonic() - began),
    )


def _find_out(run_dirs: Sequence[str]) -> _Found:
    """Reads what is known of some runs; those that are gone are left out."""
    facts: list[dict[str, object]] = []
    live = unreadable = 0
    for run_dir in run_dirs:
        try:
            run_dir.encode()  # a name that is not UTF-8 cannot be in a table
            found = facts_of(run_dir)
        except FileNotFoundError:
            continue
        except (StorageError, UnicodeError):
            unreadable += 1
            continue
        if found["status"] == RunStatus.RUNNING:
            live += 1
        else:
            facts.append(found)
    return _Found(facts_table(facts), live, unreadable)


def sorted_runs(table: pa.Table) -> pa.Table:
    """Returns a table of runs in the order of lists, newest run first."""
    path = pc.binary_join_element_wise(table["experiment"], table["run"], "/")
    order = pc.sort_indices(
        table.append_column("path", path).select(["sort_key", "path"]),
        sort_keys=[("sort_key", "descending"), ("path", "descending")],
    )
    return table.take(order)
