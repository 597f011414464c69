"""Copies the runs of a base directory to an object store."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from expman.catalog.stored import update_stored
from expman.errors import StorageError
from expman.models import RunStatus, safe_text
from expman.reading.directories import experiments, run_dirs
from expman.reading.runyaml import RunYaml
from expman.storage.catalog_files import catalog_path
from expman.storage.mirror_state import Signature
from expman.storage.object_store import ObjectStore, StoredObject
from expman.storage.paths import (
    CONFIG_YAML,
    EXPERIMENT_YAML,
    RUN_YAML,
    VECTORS_PARQUET,
    storage_error,
)
from expman.storage.run_copy import copy_run
from expman.storage.run_edits import note_mirrored
from expman.transport.recovery_lock import recovery_lock

__all__ = ["MirrorReport", "mirror"]

THREADS = 8


@dataclass
class MirrorReport:
    """What a call of `mirror` did.

    Attributes:
        runs: number of runs in the base directory.
        whole: number of runs that the store has as they are.
        files: number of files that were copied.
        bytes: their bytes.
        cataloged: number of runs in the catalog of the store.
        failed: directory and error of each run that could not be copied whole.
    """

    runs: int = 0
    whole: int = 0
    files: int = 0
    bytes: int = 0
    cataloged: int = 0
    failed: list[tuple[str, StorageError]] = field(default_factory=list)


def mirror(
    base_dir: str | os.PathLike[str],
    url: str,
    *,
    bandwidth: float | None = None,
    store: ObjectStore | None = None,
    progress: Callable[[MirrorReport], None] | None = None,
) -> MirrorReport:
    """Copies what is new or has changed in the runs of a base directory, live runs included.

    The store has the same files under the same names. Nothing there is deleted but the live tail
    of runs whose rows are all in vectors.parquet. It may be killed at any point; the next call
    copies the rest. A run that cannot be copied costs no other. The store gets a catalog, too, for
    quick lists; so does the base directory, of which it is made.

    Args:
        base_dir: directory that holds all experiments.
        url: `s3://BUCKET/PREFIX`, `gs://…`, `az://…`, `file:///PATH`.
        bandwidth: most bytes per second; None for no limit.
        store: in place of one for the URL.
        progress: is called after each run.

    Raises:
        ConfigError: the URL cannot be understood.
        StorageError: the base directory does not exist, or the store cannot be listed.
    """
    base = os.fspath(base_dir)
    store = store or ObjectStore(url, bandwidth=bandwidth)
    names = experiments(base)
    listed = store.list()
    objects = _by_run(listed)
    report, lock = MirrorReport(), threading.Lock()
    copied: dict[str, Mapping[str, Signature]] = {}

    def copy(run_dir: str) -> None:
        key = _key(run_dir)
        try:
            is_live, has_count = _state(run_dir)
            found = copy_run(run_dir, store, key, objects.get(key, {}), is_live=is_live)
            if found.whole and has_count and note_mirrored(run_dir, store.url, recovery_lock):
                start = len(key) + 1  # run.yaml has changed
                there = {name[start:]: one for name, one in store.list(key).items()}
                found = found.followed_by(copy_run(run_dir, store, key, there))
            error = None
        except StorageError as exc:
            found, error = None, exc
        except OSError as exc:
            found, error = None, storage_error(run_dir, exc)
        with lock:
            report.runs += 1
            if found is not None:
                if found.whole and not is_live:
                    copied[key] = _cataloged(found.signatures)
                report.whole += found.whole
                report.files += found.files
                report.bytes += found.bytes
            if error is not None:
                report.failed.append((run_dir, error))
            if progress is not None:
                progress(report)

    for name in names:
        try:
            _copy_experiment(base, name, store, objects.get("", {}))
        except StorageError as exc:
            report.failed.append((os.path.join(base, name), exc))
    own = {_key(run_dir): run_dir for run_dir in run_dirs(base, None)}
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(copy, own.values()))
    try:
        report.cataloged = update_stored(base, store, listed, own, copied)
    except StorageError as exc:
        report.failed.append((catalog_path(base), exc))
    return report


def _key(run_dir: str) -> str:
    return safe_text("/".join(run_dir.rsplit(os.sep, 2)[-2:]))


def _cataloged(files: Mapping[str, Signature]) -> dict[str, Signature]:
    """What a row of a catalog is made of, among what was copied."""
    names = (RUN_YAML, CONFIG_YAML, VECTORS_PARQUET)
    return {name: files[name] for name in names if name in files}


def _state(run_dir: str) -> tuple[bool, bool]:
    """Returns whether a run is live, and whether run.yaml counts files that are not copied."""
    try:
        yaml = RunYaml(run_dir)
        counts = b"\nmirror_behind: " in yaml.data and b"\nmirror_behind: 0\n" not in yaml.data
        return yaml.status is RunStatus.RUNNING, counts
    except (FileNotFoundError, StorageError):
        return True, False


def _by_run(objects: Mapping[str, StoredObject]) -> dict[str, dict[str, StoredObject]]:
    """Objects by run and name; those above runs are under ""."""
    found: dict[str, dict[str, StoredObject]] = defaultdict(dict)
    for key, one in objects.items():
        parts = key.split("/", 2)
        if len(parts) == 3:
            found[f"{parts[0]}/{parts[1]}"][parts[2]] = one
        else:
            found[""][key] = one
    return found


def _copy_experiment(
    base: str, name: str, store: ObjectStore, objects: Mapping[str, StoredObject]
) -> None:
    key = f"{safe_text(name)}/{EXPERIMENT_YAML}"
    path = os.path.join(base, name, EXPERIMENT_YAML)
    try:
        info = os.stat(path)
        known = objects.get(key)
        if known is None or known.size != info.st_size or known.mtime_ns < info.st_mtime_ns:
            store.put(key, path)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise storage_error(path, exc) from exc
