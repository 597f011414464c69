"""A base directory in an object store, read by way of a cache on this machine.

A list of runs fetches the catalog that `expman mirror` left there, and the small files of runs that
are not in it. All other files of a run but its artifacts and media are fetched when something of
it is read that needs them. What the cache has is not fetched again, as long as the store has an
object of the same size and time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from expman.storage import paths
from expman.storage.catalog_files import (
    MANIFEST,
    Manifest,
    catalog_path,
    parse_manifest,
    remove_unnamed,
)
from expman.storage.object_store import ObjectStore, StoredObject
from expman.storage.run_copy import CHANGED, MANIFESTS, is_tail_file

__all__ = ["StoredBase"]

_THREADS = 16
_FEW = 64
"""Runs of an experiment that are looked at one by one; of more, all objects are listed at once."""
_SMALL = frozenset({paths.RUN_YAML, paths.CONFIG_YAML})
_LARGE = (f"{paths.ARTIFACTS}/", f"{paths.MEDIA}/", f"{MANIFESTS}/")
_KEEP_S = 3600.0
"""How long files of an earlier catalog stay in the cache: another process may read them."""

_Objects = Mapping[str, StoredObject]


class StoredBase:
    """A base directory in an object store.

    Args:
        url: `s3://BUCKET/PREFIX` and the like.

    Attributes:
        url: where it is, without options.
        given: the URL that was given.
        cache: the directory on this machine that has what was fetched.

    Raises:
        ConfigError: the URL cannot be understood.
        StorageError: the cache cannot be made.
    """

    def __init__(self, url: str) -> None:
        self._store = ObjectStore(url, patience_s=20.0)
        self.url = self._store.url
        self.given = url
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        digest = hashlib.sha256(url.encode()).hexdigest()[:16]
        self.cache = os.path.join(home, "expman", "stores", digest)
        try:
            os.makedirs(self.cache, mode=0o700, exist_ok=True)
        except OSError as exc:
            raise paths.storage_error(self.cache, exc) from exc

    def __reduce__(self) -> tuple[type[StoredBase], tuple[str]]:
        return StoredBase, (self.given,)

    # -- which runs there are ----------------------------------------------------------------

    def experiments(self) -> list[str]:
        """Returns the names of the experiments, sorted.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        return sorted(filter(_is_harmless, self._store.folders()))

    def runs(self, chosen: Collection[str] | None) -> dict[str, list[str]]:
        """Returns the names of the runs of the chosen experiments, of all if None.

        A request answers with 1,000 names, however many objects the runs have.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        if not self._store.lists_folders:
            listed, _ = self._list_all()
            return {name: of for name, of in listed.items() if chosen is None or name in chosen}
        every = self.experiments()
        names = [name for name in every if chosen is None or name in chosen]
        with ThreadPoolExecutor(_THREADS) as pool:
            found = dict(zip(names, pool.map(self._store.folders, names), strict=True))
        runs = {name: list(filter(_is_harmless, of)) for name, of in found.items()}
        self._forget_others(runs, every)
        return runs

    def _list_all(self) -> tuple[dict[str, list[str]], dict[str, dict[str, StoredObject]]]:
        """Names of the runs by experiment, and objects by run, from a list of all objects."""
        objects = _by_run(self._store.list())
        runs: dict[str, list[str]] = defaultdict(list)
        for run in objects:
            experiment, _, name = run.partition("/")
            runs[experiment].append(name)
        self._forget_others(runs, runs)
        return runs, objects

    def refresh(self) -> str:
        """Fetches the small files of all runs; returns the cache.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        _, objects = self._list_all()
        self._fetch_small(objects)
        return self.cache

    def changed(self) -> set[str]:
        """Returns the runs, as EXPERIMENT/RUN, whose row of the catalog may not hold any more.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        start = len(CHANGED) + 1
        return {key[start:].rpartition("/")[0] for key in self._store.list(CHANGED)}

    # -- fetching ----------------------------------------------------------------------------

    def manifest(self) -> Manifest | None:
        """Fetches the manifest of the catalog; None if there is none that can be used.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        try:
            return parse_manifest(self._store.read(f"{paths.CATALOG}/{MANIFEST}"))
        except FileNotFoundError:
            return None

    def fetch_cataloged(self, name: str, manifest: Manifest) -> str:
        """Fetches a file of the catalog, unless it is in the cache; returns where it is.

        Raises:
            FileNotFoundError: it is not there any more.
            StorageError: the store cannot be reached, or refuses.
        """
        path = catalog_path(self.cache, name)
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            remove_unnamed(self.cache, manifest, keep_s=_KEEP_S)
            paths.replace_file(path, self._store.read(f"{paths.CATALOG}/{name}"), sync=False)
        return path

    def fetch_small(self, runs: Collection[str]) -> bool:
        """Fetches run.yaml and config.yaml of some runs; returns whether any of the runs exists.

        Args:
            runs: the runs, as EXPERIMENT/RUN.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        by_experiment: dict[str, list[str]] = defaultdict(list)
        for run in runs:
            by_experiment[run.partition("/")[0]].append(run)
        prefixes: list[str] = []
        for experiment, some in by_experiment.items():
            prefixes += [experiment] if len(some) > _FEW else some
        with ThreadPoolExecutor(_THREADS) as pool:
            listed = list(pool.map(self._store.list, prefixes))
        objects = _by_run({key: one for some in listed for key, one in some.items()})
        self._fetch_small({run: objects[run] for run in runs if run in objects})
        return not objects.keys().isdisjoint(runs)

    def _fetch_small(self, objects: Mapping[str, _Objects]) -> None:
        self._fetch_all(
            (f"{run}/{name}", one)
            for run, files in objects.items()
            for name, one in files.items()
            if name in _SMALL
        )

    def fetch(self, run: str, *, has_small: bool = False) -> None:
        """Fetches the files of a run but its artifacts and media.

        Args:
            run: the run, as EXPERIMENT/RUN.
            has_small: leave out what `fetch_small` fetches.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        objects = {
            key: one
            for key, one in self._store.list(run).items()
            if _is_harmless(key)
            and not (name := key.removeprefix(f"{run}/")).startswith(_LARGE)
            and not (has_small and name in _SMALL)
        }
        # The tail first: a row leaves it only when vectors.parquet has it.
        tail = {name for name in objects if is_tail_file(os.path.basename(name))}
        self._fetch_all((name, objects[name]) for name in sorted(tail))
        self._fetch_all((name, one) for name, one in objects.items() if name not in tail)
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(os.path.join(self.cache, run)):
                if is_tail_file(name) and f"{run}/{name}" not in tail:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(os.path.join(self.cache, run, name))

    def artifacts(self, run: str) -> list[str]:
        """Returns the names of a run's artifacts, sorted; they are not fetched.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        above = f"{run}/{paths.ARTIFACTS}/"
        return sorted(key.removeprefix(above) for key in self._store.list(above.rstrip("/")))

    def _fetch_all(self, objects: Iterable[tuple[str, StoredObject]]) -> None:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(lambda found: self._fetch(*found), objects))

    def _fetch(self, key: str, one: StoredObject) -> None:
        path = os.path.join(self.cache, key)
        with contextlib.suppress(OSError):
            info = os.stat(path)
            if (info.st_size, info.st_mtime_ns) == one:
                return
        try:
            data = self._store.read(key)
        except FileNotFoundError:
            return  # of the tail, and consolidated just now
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            paths.replace_file(path, data, sync=False)
            if len(data) == one.size:
                os.utime(path, ns=(one.mtime_ns, one.mtime_ns))
        except OSError as exc:
            raise paths.storage_error(path, exc) from exc

    def _forget_others(self, runs: Mapping[str, Collection[str]], every: Collection[str]) -> None:
        """Removes runs from the cache that are not in the store any more."""
        with os.scandir(self.cache) as found:
            experiments = [one for one in found if one.name[0] != "." and one.is_dir()]
        for one in experiments:
            if one.name not in every:
                shutil.rmtree(one.path, ignore_errors=True)
            elif one.name in runs:
                for name in set(os.listdir(one.path)).difference(runs[one.name]):
                    shutil.rmtree(os.path.join(one.path, name), ignore_errors=True)


def _by_run(objects: _Objects) -> dict[str, dict[str, StoredObject]]:
    """Objects by run, as EXPERIMENT/RUN, and name."""
    found: dict[str, dict[str, StoredObject]] = defaultdict(dict)
    for key, one in objects.items():
        parts = key.split("/", 2)
        if len(parts) == 3 and not key.startswith(".") and _is_harmless(key):
            found["/".join(parts[:2])][parts[2]] = one
    return found


def _is_harmless(key: str) -> bool:
    """Returns whether a key is a path below a directory, and nothing else."""
    parts = key.split("/")
    return "\0" not in key and not any(part in ("", ".", "..") for part in parts)
