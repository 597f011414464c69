"""Brings a catalog up to date: new and changed runs are read, all others are taken over."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from expman.catalog.compaction import Compaction
from expman.errors import StorageError
from expman.models import RunStatus
from expman.reading.catalog_index import CatalogIndex, rows_of
from expman.reading.directories import run_dirs
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

GROUP_ROWS = 65_536
_AT_ONCE = 10_000
"""Runs whose facts are held as Python objects at once."""


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
) -> CatalogReport:
    """Brings the catalog of a base directory up to date. Only `.catalog/` is written.

    It may be interrupted at any point, and may run more than once at the same time: a reader finds
    the version before or the version after.

    Args:
        base_dir: directory that holds all experiments.
        anew: do not use what is there.
        progress: is called with the number of runs that were read, from time to time.

    Durability: the new version is durable when it returns.

    Raises:
        StorageError: the base directory does not exist, or the catalog cannot be written.
    """
    try:
        return _build(os.fspath(base_dir), anew, progress)
    except (LookupError, pa.ArrowException, ValueError):  # damaged, or of another version
        return _build(os.fspath(base_dir), True, progress)


def _build(base: str, anew: bool, progress: Callable[[int], None] | None) -> CatalogReport:
    began = time.monotonic()
    old = None if anew else CatalogIndex.open(base)
    current, others = (bytearray(), list(run_dirs(base, None))) if old is None else old.look(None)
    live = unreadable = read = 0
    tables: list[pa.Table] = []
    fresh: list[dict[str, object]] = []
    for run_dir in others:
        try:
            facts = _facts(run_dir)
        except FileNotFoundError:
            continue
        except (StorageError, UnicodeError):
            unreadable += 1
            continue
        if facts["status"] == RunStatus.RUNNING:
            live += 1
            continue
        fresh.append(facts)
        read += 1
        if len(fresh) == _AT_ONCE:
            tables.append(facts_table(fresh))
            fresh = []
        if progress is not None and read % 100 == 0:
            progress(read)
    tables.append(facts_table(fresh))
    ensure_catalog_dir(base)
    removed = 0 if old is None else old.rows - sum(current)
    if old is not None and not read and not removed:
        manifest, count, apart = old.manifest, old.rows, old.column("part").null_count
    else:
        compaction = Compaction(base, () if old is None else old.manifest.parts)
        taken_over = [] if old is None else [old.table().take(rows_of(current)).cast(FACTS)]
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


def _facts(run_dir: str) -> dict[str, object]:
    run_dir.encode()  # a name that is not UTF-8 cannot be in a table
    return facts_of(run_dir)


def sorted_runs(table: pa.Table) -> pa.Table:
    """Returns a table of runs in the order of lists, newest run first."""
    path = pc.binary_join_element_wise(table["experiment"], table["run"], "/")
    order = pc.sort_indices(
        table.append_column("path", path).select(["sort_key", "path"]),
        sort_keys=[("sort_key", "descending"), ("path", "descending")],
    )
    return table.take(order)
