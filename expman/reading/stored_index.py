"""The catalog of a base directory in an object store, as `expman mirror` left it.

A row of it holds as long as the run is there, without a mark that says that what the row was made
of is being changed (`storage/run_copy.py`). All other runs, live ones among them, are read from
their own objects. So a list takes one request per 1,000 runs, and three more.
"""

from __future__ import annotations

from collections.abc import Collection

import pyarrow.parquet as pq

from expman.errors import StorageError
from expman.reading.catalog_index import CatalogIndex, ListedRuns, newest_index, open_table_file
from expman.reading.run import Run
from expman.reading.stored_base import StoredBase
from expman.reading.stored_run import StoredRun
from expman.storage.catalog_files import Manifest

__all__ = ["StoredIndex"]


class StoredIndex(CatalogIndex):
    """The table of runs of a catalog in an object store."""

    def __init__(self, base: StoredBase, manifest: Manifest, file: pq.ParquetFile) -> None:
        super().__init__(base.cache, manifest, file)
        self._base = base

    @classmethod
    def of_store(cls, base: StoredBase) -> StoredIndex | None:
        """Opens the catalog of a store; None if there is none, or none that can be used.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """

        def index_of(manifest: Manifest) -> StoredIndex:
            base.fetch_cataloged(manifest.runs_file, manifest)
            return cls(base, manifest, open_table_file(base.cache, manifest))

        return newest_index(base.manifest, index_of)

    def look(self, chosen: Collection[str] | None) -> tuple[bytearray, list[str]]:
        """As in a directory; the small files of the other runs are in the cache then."""
        current = bytearray(self.rows)
        others: list[str] = []
        rows = dict(zip(self.paths, range(self.rows), strict=True))
        changed = self._base.changed()
        for experiment, names in self._base.runs(chosen).items():
            for name in names:
                key = f"{experiment}/{name}"
                row = rows.get(f"{self.base_dir}/{key}")
                if row is None or key in changed:
                    others.append(key)
                else:
                    current[row] = 1
        self._base.fetch_small(others)
        return current, [f"{self.base_dir}/{key}" for key in others]

    def holds(self, row: int, run: Run) -> bool:
        """True: `look` has checked it."""
        return True

    def config_holds(self, row: int, run: Run) -> bool:
        """True: `look` has checked it."""
        return True

    def rows_hold(self, row: int, run: Run) -> bool:
        """True: `look` has checked it."""
        return True

    def part_path(self, part: str) -> str:
        """Where a part is in the cache; it is fetched.

        Raises:
            LookupError: it cannot be had.
        """
        if part not in self.manifest.names:
            raise LookupError(part)
        try:
            return self._base.fetch_cataloged(part, self.manifest)
        except (FileNotFoundError, StorageError) as exc:
            raise LookupError(part) from exc

    def listed(self, rows: list[int]) -> ListedRuns:
        """Returns the runs of these rows."""
        paths, make = self.paths, StoredRun.in_store
        runs: list[Run] = [make(self._base, paths[row], self, row) for row in rows]
        return ListedRuns(runs, self.column("sort_key"))
