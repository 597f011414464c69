"""Copies the files of one run to an object store, again and again while the run is live.

The store has the same files under the same names. Tables with rows are safe to read at any moment,
because the live tail is copied before vectors.parquet, and vectors.parquet before run.yaml; files
of the tail are deleted in the store only when vectors.parquet, which has their rows by then, is
there. A row that is in both is known by its producer and number.

What was copied is in a manifest, whose name is a digest of its content: so it is put only if it is
absent, and a listing of the store shows which runs are copied whole.

The store may have a catalog with a row of the run. Before something is replaced that the row was
made of, a mark is put below `.catalog/changed/`: readers then take the run's own objects. A run
that was live at the last copy has no row, and needs no mark.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from expman.failpoints import hit
from expman.storage import paths
from expman.storage.mirror_state import Signature, files_to_copy
from expman.storage.object_store import ObjectStore, StoredObject

__all__ = ["CHANGED", "MANIFESTS", "Copied", "copy_run", "is_tail_file"]

MANIFESTS = ".mirror"
CHANGED = f"{paths.CATALOG}/changed"
LARGE_BYTES = 32 * 1024 * 1024
GROWTH = 1.2
"""A large file of a live run is copied again once it has grown by this factor."""
_STEMS = (paths.VECTORS, paths.SYSTEM, paths.HISTOGRAMS)
_ROWS_LAST = tuple(map(paths.parquet_name, _STEMS))
_CATALOGED = frozenset({paths.RUN_YAML, paths.CONFIG_YAML, paths.VECTORS_PARQUET})
"""What a row of a catalog is made of."""


class Copied(NamedTuple):
    """What a call of `copy_run` did.

    Attributes:
        files: number of files that were copied.
        bytes: their bytes.
        waiting: number of files of a live run that are to be copied later.
        whole: whether the store has everything, as it was at the time of the call.
        signatures: what the store has, by the files that it was copied from.
    """

    files: int
    bytes: int
    waiting: int
    whole: bool
    signatures: dict[str, Signature]

    def followed_by(self, other: Copied) -> Copied:
        """Returns what this call and a later one did together."""
        return Copied(self.files + other.files, self.bytes + other.bytes, *other[2:])


class _Manifest(msgspec.Struct):
    """What the store has of a run, and whether the run was live when that was copied."""

    files: dict[str, Signature] = {}
    live: bool = False


def copy_run(
    run_dir: str,
    store: ObjectStore,
    key: str,
    objects: Mapping[str, StoredObject],
    *,
    is_live: bool = False,
) -> Copied:
    """Copies what is new or has changed in a run's directory.

    Args:
        run_dir: the run's directory.
        store: where to.
        key: of the run in the store.
        objects: what the store has of the run, by keys below `key`.
        is_live: large files that have grown little are left for later.

    Raises:
        OSError: the directory cannot be read.
        StorageError: the store cannot be reached, or refuses. What was copied counts.
    """
    there: dict[str, Signature] = {}
    path_of: dict[str, str] = {}
    for name, path, signature in files_to_copy(run_dir):
        there[name], path_of[name] = signature, path
    if _name(there, is_live) in objects and _has_sizes(objects, there):
        return Copied(0, 0, 0, True, there)
    before, is_cataloged = _last_manifest(store, key, objects)
    later = _postponed(there, before, objects) if is_live else set()
    done: dict[str, Signature] = {}
    files = count = 0
    for name in sorted(there, key=_order):
        known = before.get(name)
        stored = objects.get(name)
        has_it = known is not None and stored is not None and stored.size == known[0]
        if known is not None and has_it and (known == there[name] or name in later):
            done[name] = known
            continue
        if name in later:
            continue
        if is_cataloged and name in _CATALOGED:
            store.put_bytes(f"{CHANGED}/{key}/{os.urandom(8).hex()}", b"")
            is_cataloged = False  # once is enough
            hit("copy-after-mark")
        try:
            done[name] = store.put(f"{key}/{name}", path_of[name])
        except FileNotFoundError:
            continue  # consolidated, or replaced just now
        hit("copy-after-put")
        files += 1
        count += done[name][0]
    if not later:
        # What was consolidated before the look at the directory is in what was copied since.
        for name in objects:
            if is_tail_file(name) and name not in there:
                store.delete(f"{key}/{name}")
    hit("copy-before-manifest")
    manifest = _name(done, is_live)
    store.put_bytes(f"{key}/{manifest}", msgspec.json.encode(_Manifest(done, is_live)))
    for name in objects:
        if name.startswith(MANIFESTS + "/") and name != manifest:
            store.delete(f"{key}/{name}")
    return Copied(files, count, len(later), not later, done)


def _postponed(
    there: Mapping[str, Signature],
    before: Mapping[str, Signature],
    objects: Mapping[str, StoredObject],
) -> set[str]:
    """Returns large files that have grown little since they were copied, with their live tails.

    Without the tail, the store has an earlier state of the table, and no gap.
    """
    later: set[str] = set()
    for stem in _STEMS:
        name = paths.parquet_name(stem)
        size = there.get(name, (0, 0))[0]
        if name not in before or name not in objects or before[name] == there.get(name):
            continue
        if LARGE_BYTES < size < before[name][0] * GROWTH:
            later |= {name}
            later |= {one for one in there if paths.tail_number(one, stem) is not None}
    return later


def _order(name: str) -> tuple[int, str]:
    if is_tail_file(name):
        return 0, name
    if name in _ROWS_LAST:
        return 2, name
    return 3 if name == paths.RUN_YAML else 1, name


def is_tail_file(name: str) -> bool:
    """Returns whether a name in a run's directory is that of a file of a live tail."""
    return any(paths.tail_number(name, stem) is not None for stem in _STEMS)


def _name(files: Mapping[str, Signature], is_live: bool) -> str:
    text = repr(sorted((name, *signature) for name, signature in files.items()))
    text += " live" * is_live
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{MANIFESTS}/{digest[:24]}.json"


def _has_sizes(objects: Mapping[str, StoredObject], files: Mapping[str, Signature]) -> bool:
    return all(
        (stored := objects.get(name)) is not None and stored.size == size
        for name, (size, _) in files.items()
    )


def _last_manifest(
    store: ObjectStore, key: str, objects: Mapping[str, StoredObject]
) -> tuple[dict[str, Signature], bool]:
    """Returns what was copied last, and whether a catalog may have a row of what the store has."""
    run_yaml = objects.get(paths.RUN_YAML)
    names = [name for name in objects if name.startswith(MANIFESTS + "/")]
    if not names:
        return {}, run_yaml is not None
    try:
        name = max(names, key=lambda name: objects[name].mtime_ns)
        manifest = msgspec.json.decode(store.read(f"{key}/{name}"), type=_Manifest)
    except (FileNotFoundError, msgspec.MsgspecError):
        return {}, run_yaml is not None
    # A manifest is put after run.yaml: an older one is about another run.yaml.
    was_live = run_yaml is None or (manifest.live and objects[name].mtime_ns >= run_yaml.mtime_ns)
    return manifest.files, not was_live
