"""One run in an object store."""

from __future__ import annotations

import datetime
import math
import os
import time
from typing import TYPE_CHECKING, Any

from expman.errors import StorageError
from expman.models import RunStatus
from expman.reading.params import read_params
from expman.reading.run import Run
from expman.reading.runyaml import RunYaml
from expman.reading.stored_base import StoredBase
from expman.reading.summary import RunSummary
from expman.storage.paths import ARTIFACTS

if TYPE_CHECKING:
    from expman.reading.catalog_index import CatalogIndex

__all__ = ["StoredRun"]

_FRESH_S = 1.0
"""How long what was fetched of a live run is taken for the latest."""


class StoredRun(Run):
    """A run in an object store. Its path is that of the cache; `url` says where it is."""

    _base: StoredBase
    _dir: str
    _key: str
    _fetched_at: float
    """When files were fetched last while it was live."""
    _is_whole: bool = False
    """Whether all were fetched since it had ended."""
    _read_at: float = 0.0
    """When run.yaml was read last."""
    _has_small: bool
    """Whether the cache has the small files as the store has them."""

    def __init__(self, path: str | os.PathLike[str], *, base_dir: str | None = None) -> None:
        """Called by `Run(URL)` for what `in_store` has made."""

    @classmethod
    def in_store(
        cls, base: StoredBase, run_dir: str, catalog: CatalogIndex | None = None, row: int = 0
    ) -> StoredRun:
        """Returns a run, of which the cache has the small files, or which a catalog has."""
        run: StoredRun = object.__new__(cls)
        run._base, run._dir = base, run_dir
        run._key = "/".join(run_dir.rsplit(os.sep, 2)[-2:])
        run._fetched_at, run._has_small = -math.inf, catalog is None
        run._catalog, run._row = catalog, row
        return run

    @classmethod
    def found(cls, base: StoredBase, key: str) -> StoredRun | None:
        """Looks for one run, EXPERIMENT/RUN; returns None if the store has nothing of it.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        if not base.fetch_small([key]):
            return None
        return cls.in_store(base, os.path.join(base.cache, key))

    def __getstate__(self) -> dict[str, object]:
        return {
            "_base": self._base,
            "_dir": self._dir,
            "_key": self._key,
            "_fetched_at": -math.inf,
            "_has_small": False,
        }

    @property
    def path(self) -> str:  # type: ignore[override]
        """The run's directory in the cache, brought up to date."""
        is_final = self.status is not RunStatus.RUNNING
        if is_final and not self._is_whole:
            self._base.fetch(self._key)
            self._is_whole = self._has_small = True
            self._yaml = None
        elif not is_final and time.monotonic() - self._fetched_at > _FRESH_S:
            # Without run.yaml: once it says that the run has ended, all rows are there.
            self._base.fetch(self._key, has_small=True)
            self._fetched_at = time.monotonic()
        return self._dir

    @property
    def url(self) -> str:
        """Where the run is in the store."""
        return f"{self._base.url}/{self._key}"

    @property
    def _local_dir(self) -> str:
        return self._dir

    @property
    def _place(self) -> str:
        return self.url

    @property
    def _base_dir(self) -> str:
        return self._base.given

    @property
    def name(self) -> str:
        """The run's name."""
        return os.path.basename(self._dir)

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return os.path.basename(os.path.dirname(self._dir))

    @property
    def status(self) -> RunStatus:
        """The status: RUNNING, FINISHED, FAILED or CRASHED."""
        return RunStatus.parse(found) if (found := self._known("status")) else self._file.status

    @property
    def started_at(self) -> datetime.datetime | None:
        """Start of the run, in UTC."""
        found: datetime.datetime | None = self._known("started_at")
        return found or self._file.started_at

    def _known(self, fact: str) -> Any:
        """A fact that a catalog has, as long as run.yaml was not fetched."""
        if self._catalog is None or self._has_small:
            return None
        try:
            return self._catalog.values(fact)[self._row]
        except LookupError:
            return None

    @property
    def _file(self) -> RunYaml:
        if not self._has_small or self._may_have_changed:
            self._base.fetch_small([self._key])
            self._has_small, self._yaml = True, None
        if self._yaml is None:
            try:
                self._yaml = RunYaml(self._dir)
            except FileNotFoundError as exc:
                raise StorageError(self.url, "has no run.yaml (yet)") from exc
            self._read_at = time.monotonic()
        return self._yaml

    @property
    def _may_have_changed(self) -> bool:
        """Whether run.yaml was read a while ago, of a live run."""
        if self._yaml is None or time.monotonic() - self._read_at <= _FRESH_S:
            return False
        return self._yaml.status is RunStatus.RUNNING

    @property
    def config(self) -> dict[str, object]:
        """The parameters of the run; empty if none were logged."""
        return read_params(self._dir, dates=self._file.is_ours)

    def summary(self) -> RunSummary:
        """The content of run.yaml as a plain record."""
        return RunSummary(self._dir, self.metadata)

    def artifacts(self) -> list[str]:
        """The URLs of the saved files, sorted. They are not fetched."""
        return [f"{self.url}/{ARTIFACTS}/{name}" for name in self._base.artifacts(self._key)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredRun) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __repr__(self) -> str:
        return f"Run({self.url!r})"
