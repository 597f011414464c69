"""One table with a row per run: from the catalog where it holds, else from the directories."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

import pyarrow as pa

from expman.errors import ConfigError, StorageError
from expman.reading.catalog_index import CatalogIndex, rows_of
from expman.reading.directories import run_dirs
from expman.reading.plain_arrays import int_array
from expman.reading.run_facts import FACTS, facts_of, facts_table

__all__ = ["open_table"]

_ORDER = ("sort_key", "experiment", "run")
_INTERNAL = frozenset(
    {
        *("sort_key", "yaml_inode", "yaml_mtime_ns", "yaml_size"),
        *("config_signature", "rows_signature", "columns", "part", "part_offset", "part_rows"),
    }
)


def open_table(
    base_dir: str | os.PathLike[str],
    experiments: Collection[str] | None = None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Returns a table with one row per run, newest first; runs that cannot be read are left out.

    The catalog of the base directory is used as far as it holds, and is not needed. The columns
    `params` (under dotted names), `scalars`, `last` (the latest values of metrics), `best` and
    `facts` (the rest of run.yaml) are JSON, in which NaN and infinities are texts. They are null
    where JSON cannot express the values: then `expman.Run` has them.

    Args:
        base_dir: directory that holds all experiments, or the URL of a copy of it.
        experiments: only runs of these.
        columns: only these columns, in this order; all if None. Few columns are read quickly.

    Raises:
        ConfigError: there is no such column.
        StorageError: the base directory does not exist.
    """
    if columns is None:
        columns = [name for name in FACTS.names if name not in _INTERNAL]
    unknown = [name for name in columns if name not in FACTS.names]
    if unknown:
        known = [name for name in FACTS.names if name not in _INTERNAL]
        raise ConfigError("columns", unknown, f"must be among {', '.join(known)}")
    base = os.fspath(base_dir)
    stored = None
    index: CatalogIndex | None
    if "://" in base:
        from expman.reading.stored_base import StoredBase  # brings pyarrow.fs
        from expman.reading.stored_index import StoredIndex

        stored = StoredBase(base)
        index = StoredIndex.of_store(stored)
    else:
        index = CatalogIndex.open(base)
    needed = list(dict.fromkeys((*columns, *_ORDER)))
    table = FACTS.empty_table().select(needed)
    others = None
    if index is not None:
        current, others = index.look(experiments)
        try:
            table = index.table(needed).take(int_array(rows_of(current)))
        except LookupError:
            others = None
    if others is None:
        others = list(run_dirs(base if stored is None else stored.refresh(), experiments))
    found = []
    for run_dir in others:
        try:
            found.append(facts_of(run_dir))
        except (FileNotFoundError, StorageError):
            continue
    if found:
        table = pa.concat_tables([table, facts_table(found).select(needed)])
        table = table.sort_by([(name, "descending") for name in _ORDER])
    return table.select(list(columns))
