"""Runs in an object store, read by way of a cache on this machine.

A list of runs fetches the small files that say what each run is. All other files of a run but its
artifacts and media are fetched when something of it is read that needs them. What the cache has
is not fetched again, as long as the store has an object of the same size and time.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

from expman.models import RunStatus
from expman.reading.params import read_params
from expman.reading.run import Run
from expman.reading.runyaml import RunYaml
from expman.reading.summary import RunSummary
from expman.storage import paths
from expman.storage.object_store import ObjectStore, StoredObject
from expman.storage.run_copy import MANIFESTS, is_tail_file

__all__ = ["StoredBase", "StoredRun"]

_THREADS = 16
_FRESH_S = 1.0
"""How long what was fetched of a live run is taken for the latest."""
_SMALL = frozenset({paths.RUN_YAML, paths.CONFIG_YAML})
_LARGE = (f"{paths.ARTIFACTS}/", f"{paths.MEDIA}/", f"{MANIFESTS}/")


class StoredBase:
    """A base directory in an object store.

    Args:
        url: `s3://BUCKET/PREFIX` and the like.

    Attributes:
        url: where it is, without options.
        cache: the directory on this machine that has what was fetched.

    Raises:
        ConfigError: the URL cannot be understood.
    """

    def __init__(self, url: str) -> None:
        self._store = ObjectStore(url, patience_s=20.0)
        self.url = self._store.url
        self._given = url
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        digest = hashlib.sha256(url.encode()).hexdigest()[:16]
        self.cache = os.path.join(home, "expman", "stores", digest)

    def __reduce__(self) -> tuple[type[StoredBase], tuple[str]]:
        return StoredBase, (self._given,)

    def refresh(self) -> str:
        """Fetches what says which runs there are; returns the cache.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        objects = self._store.list()
        found: dict[str, dict[str, StoredObject]] = defaultdict(dict)
        for key, one in objects.items():
            parts = key.split("/", 2)
            if len(parts) == 3 and _is_harmless(key):
                found["/".join(parts[:2])][parts[2]] = one
        os.makedirs(self.cache, mode=0o700, exist_ok=True)
        self._forget_others(found)
        self._fetch_all(
            (f"{run}/{name}", one)
            for run, files in found.items()
            for name, one in files.items()
            if name in _SMALL
        )
        return self.cache

    def fetch(self, run: str) -> None:
        """Fetches the files of a run but its artifacts and media.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        objects = {
            name: one
            for name, one in self._store.list(run).items()
            if _is_harmless(name) and not name.removeprefix(f"{run}/").startswith(_LARGE)
        }
        # The tail first: a row leaves it only when vectors.parquet has it.
        tail = {name for name in objects if is_tail_file(os.path.basename(name))}
        self._fetch_all((name, objects[name]) for name in sorted(tail))
        self._fetch_all((name, one) for name, one in objects.items() if name not in tail)
        for name in os.listdir(os.path.join(self.cache, run)):
            if is_tail_file(name) and f"{run}/{name}" not in tail:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self.cache, run, name))

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
        os.makedirs(os.path.dirname(path), exist_ok=True)
        paths.replace_file(path, data, sync=False)
        if len(data) == one.size:
            os.utime(path, ns=(one.mtime_ns, one.mtime_ns))

    def _forget_others(self, runs: Collection[str]) -> None:
        """Removes runs from the cache that are not in the store any more."""
        with os.scandir(self.cache) as experiments:
            for experiment in list(experiments):
                if experiment.name.startswith(".") or not experiment.is_dir():
                    continue
                for name in os.listdir(experiment.path):
                    if f"{experiment.name}/{name}" not in runs:
                        shutil.rmtree(os.path.join(experiment.path, name), ignore_errors=True)


class StoredRun(Run):
    """A run in an object store. Its path is that of the cache; `url` says where it is."""

    def __init__(self, base: StoredBase, run_dir: str) -> None:
        self._base = base
        self._dir = run_dir
        self._key = "/".join(run_dir.rsplit(os.sep, 2)[-2:])
        self._fetched_at = -math.inf

    def __getstate__(self) -> dict[str, object]:
        return {"_base": self._base, "_dir": self._dir, "_key": self._key, "_fetched_at": -math.inf}

    @property
    def path(self) -> str:  # type: ignore[override]
        """The run's directory in the cache, brought up to date."""
        is_final = self.status is not RunStatus.RUNNING
        if self._is_old(is_final):
            self._base.fetch(self._key)
            self._fetched_at = time.monotonic()
            self._yaml = None
        return self._dir

    def _is_old(self, is_final: bool) -> bool:
        if is_final:
            return self._fetched_at == -math.inf
        return time.monotonic() - self._fetched_at > _FRESH_S

    @property
    def url(self) -> str:
        """Where the run is in the store."""
        return f"{self._base.url}/{self._key}"

    @property
    def name(self) -> str:
        """The run's name."""
        return os.path.basename(self._dir)

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return os.path.basename(os.path.dirname(self._dir))

    @property
    def _file(self) -> RunYaml:
        if self._yaml is None:
            self._yaml = RunYaml(self._dir)
        return self._yaml

    @property
    def config(self) -> dict[str, object]:
        """The parameters of the run; empty if none were logged."""
        return read_params(self._dir, dates=self._file.is_ours)

    def summary(self) -> RunSummary:
        """The content of run.yaml as a plain record."""
        return RunSummary(self._dir, self.metadata)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredRun) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __repr__(self) -> str:
        return f"StoredRun({self.url!r})"


def _is_harmless(key: str) -> bool:
    """Returns whether a key is a path below a directory, and nothing else."""
    parts = key.split("/")
    return "\0" not in key and not any(part in ("", ".", "..") for part in parts)
