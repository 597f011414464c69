"""The catalog of an object store: `expman mirror` makes it of the catalog of the base directory.

It has the same files under the same names. Rows are of runs that the store has whole. Other base
directories may be copied into the same store: their rows stay. Nothing is locked. A copier puts a
mark before it changes what a row was made of (`storage/run_copy.py`), and readers pass over rows
with marks. So whatever is written late, or by two at once, costs speed and is never wrong.

A mark is removed when the catalog that readers had for a while has the row as it is now. A catalog
of another builder, made of an earlier one, could replace it only within `_BUILD_S`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from expman.catalog.build import GROUP_ROWS, build, sorted_runs
from expman.catalog.summaries import open_table
from expman.errors import StorageError
from expman.models import RunStatus
from expman.reading.run_facts import FACTS
from expman.storage.arrowfile import read_parquet
from expman.storage.catalog_files import (
    CATALOG,
    KEEP_S,
    MANIFEST,
    Manifest,
    PartFile,
    catalog_path,
    manifest_bytes,
    new_name,
    parse_manifest,
    read_manifest,
    table_bytes,
)
from expman.storage.mirror_state import Signature
from expman.storage.object_store import ObjectStore, StoredObject
from expman.storage.paths import CONFIG_YAML, RUN_YAML, VECTORS_PARQUET
from expman.storage.run_copy import CHANGED

__all__ = ["update_stored"]

_BUILD_S = 1800.0
"""A builder that takes longer gives up."""
_SAFE_S = 2 * _BUILD_S
"""How old a mark, and the catalog before, must be. Clocks may differ by the half of it."""

Copied = Mapping[str, Mapping[str, Signature]]


def update_stored(
    base: str,
    store: ObjectStore,
    objects: Mapping[str, StoredObject],
    own: Mapping[str, object],
    copied: Copied,
) -> int:
    """Brings the catalog of a store up to date; returns how many runs it has.

    Args:
        base: the base directory.
        store: the store.
        objects: what it had before runs were copied, by keys.
        own: the runs of the base directory, as EXPERIMENT/RUN.
        copied: of each of them that the store has whole and that has ended, what was copied.

    Raises:
        StorageError: the store cannot be reached, or refuses. Its catalog is as before.
    """
    began = time.monotonic()
    old, old_parts = _read(store)
    with contextlib.suppress(StorageError):  # a directory that cannot be written has no parts
        build(base)
    names = _keys(old)
    others = [name not in own and f"{name}/{RUN_YAML}" in objects for name in names]
    kept = old.filter(pa.array(others, pa.bool_()))
    table = sorted_runs(pa.concat_tables([kept, _whole(base, copied)]))
    parts = {part.name: part for part in old_parts}
    manifest = read_manifest(base)
    parts |= {} if manifest is None else {part.name: part for part in manifest.parts}
    # Another builder may have replaced the catalog here since its table was read.
    table = _with_parts(table, _put_parts(base, store, objects, table) & parts.keys())
    if time.monotonic() - began > _BUILD_S:
        raise StorageError(f"{store.url}/{CATALOG}", "making the catalog took too long")
    if not table.equals(old):
        used = pc.unique(table["part"].drop_null()).to_pylist()
        _put(store, table, [parts[name] for name in used])
        _remove_unnamed(store)
    _remove_marks(store, objects, own, old, table)
    count: int = table.num_rows
    return count


def _read(store: ObjectStore) -> tuple[pa.Table, tuple[PartFile, ...]]:
    """Reads what is there; an empty table if that is nothing that can be used."""
    try:
        manifest = parse_manifest(store.read(f"{CATALOG}/{MANIFEST}"))
        if manifest is not None and manifest.runs_file:
            data = store.read(f"{CATALOG}/{manifest.runs_file}")
            return read_parquet(pa.BufferReader(data)).cast(FACTS), manifest.parts
    except (FileNotFoundError, pa.ArrowException, ValueError):
        pass
    return FACTS.empty_table(), ()


def _keys(table: pa.Table) -> list[str]:
    pairs = zip(table["experiment"].to_pylist(), table["run"].to_pylist(), strict=True)
    return [f"{experiment}/{run}" for experiment, run in pairs]


def _whole(base: str, copied: Copied) -> pa.Table:
    """The rows of runs of the base directory that are in the store as they are here."""
    table = open_table(base, columns=FACTS.names)
    needed = ("status", "yaml_size", "yaml_mtime_ns", "config_signature", "rows_signature")
    facts = zip(_keys(table), *(table[name].to_pylist() for name in needed), strict=True)
    chosen = []
    for key, status, size, mtime_ns, config, rows in facts:
        files = copied.get(key, {})
        chosen.append(
            status != RunStatus.RUNNING
            and files.get(RUN_YAML) == (size, mtime_ns)
            and _is_same(files.get(CONFIG_YAML), config)
            and _is_same(files.get(VECTORS_PARQUET), rows)
        )
    return table.filter(pa.array(chosen, pa.bool_()))


def _is_same(copied: Signature | None, signature: str) -> bool:
    """Whether what was copied is the file that a row of the catalog was made of."""
    if copied is None:
        return not signature
    size, mtime_ns = copied
    return signature.endswith(f":{mtime_ns}:{size}")


def _put_parts(
    base: str, store: ObjectStore, objects: Mapping[str, StoredObject], table: pa.Table
) -> set[str]:
    """Copies the parts that are not there yet; returns the parts that the store has."""
    there: set[str] = set()
    for name in pc.unique(table["part"].drop_null()).to_pylist():
        key = f"{CATALOG}/{name}"
        if key not in objects:
            try:
                store.put(key, catalog_path(base, name))
            except OSError:
                continue  # of another base directory, or replaced just now
        there.add(name)
    return there


def _with_parts(table: pa.Table, there: set[str]) -> pa.Table:
    """Leaves out places in parts that are not there; these runs have their own files."""
    parts = table["part"]
    gone = set(pc.unique(parts.drop_null()).to_pylist()) - there
    if not gone:
        return table
    is_there = pc.is_in(parts, value_set=pa.array(sorted(there), pa.string()))
    for name in ("part", "part_offset", "part_rows"):
        place = table.schema.get_field_index(name)
        values = pc.if_else(is_there, table[name], pa.scalar(None, table[name].type))
        table = table.set_column(place, table.schema.field(name), values)
    return table


def _put(store: ObjectStore, table: pa.Table, parts: list[PartFile]) -> None:
    name = new_name("runs")
    store.put_bytes(f"{CATALOG}/{name}", table_bytes(table, group_rows=GROUP_ROWS))
    manifest = Manifest(made_at=time.time(), runs_file=name, parts=tuple(parts))
    store.put_bytes(f"{CATALOG}/{MANIFEST}", manifest_bytes(manifest))


def _remove_unnamed(store: ObjectStore) -> None:
    """Removes files that no manifest has named for a day: readers have theirs in a cache."""
    there = store.list(CATALOG)
    manifest = parse_manifest(store.read(f"{CATALOG}/{MANIFEST}"))
    if manifest is None:
        return
    now = max(one.mtime_ns for one in there.values())  # by the store's clock
    for key, one in there.items():
        name = os.path.basename(key)
        is_ours = name.startswith(("runs-", "rows-")) and key == f"{CATALOG}/{name}"
        if is_ours and name not in manifest.names and now - one.mtime_ns > KEEP_S * 1e9:
            store.delete(key)


def _remove_marks(
    store: ObjectStore,
    objects: Mapping[str, StoredObject],
    own: Mapping[str, object],
    old: pa.Table,
    table: pa.Table,
) -> None:
    """Removes marks of runs whose rows were right in the catalog before, too, for long enough."""
    oldest_ns = int((time.time() - _SAFE_S) * 1e9)
    manifest = objects.get(f"{CATALOG}/{MANIFEST}")
    if manifest is None or manifest.mtime_ns > oldest_ns:
        return
    start = len(CHANGED) + 1
    marks = [key for key, one in objects.items() if _is_mark(key) and one.mtime_ns < oldest_ns]
    runs = {key[start:].rpartition("/")[0] for key in marks} & own.keys()
    if not runs:
        return
    before, now = (_rows(one, runs) for one in (old, table))
    for key in marks:
        run = key[start:].rpartition("/")[0]
        if run in runs and before.get(run) == now.get(run):
            store.delete(key)


def _is_mark(key: str) -> bool:
    return key.startswith(CHANGED + "/")


def _rows(table: pa.Table, runs: set[str]) -> dict[str, dict[str, object]]:
    """The rows of some runs."""
    numbers = [number for number, key in enumerate(_keys(table)) if key in runs]
    rows = table.take(pa.array(numbers, pa.int64()))
    return dict(zip(_keys(rows), rows.to_pylist(), strict=True))
