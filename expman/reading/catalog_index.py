"""The catalog of a base directory, as `expman catalog` left it: a quick answer, if still true.

A run's directory remains the truth. Each row of the catalog has the inode, time and size of the
run.yaml that it was made of: one `stat` per run shows whether the row still holds. All other runs,
live ones among them, are read from their directories.
"""

from __future__ import annotations

import bisect
import datetime
import itertools
import os
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from expman.models import RunStatus
from expman.reading.directories import experiments
from expman.reading.json_text import from_json
from expman.reading.run import Run
from expman.reading.signatures import signature_of
from expman.reading.tags import TagFilter
from expman.storage.catalog_files import Manifest, catalog_path, read_manifest
from expman.storage.paths import CONFIG_YAML, RUN_YAML, VECTORS_PARQUET

__all__ = ["CatalogIndex", "ListedRuns", "newest_index", "open_table_file", "rows_of"]

_Index = TypeVar("_Index", bound="CatalogIndex")


class CatalogIndex:
    """The table of runs of a catalog; its columns are read when they are used.

    Attributes:
        base_dir: directory that holds all experiments.
        manifest: what the catalog consists of.
        rows: number of runs.
    """

    def __init__(self, base_dir: str, manifest: Manifest, file: pq.ParquetFile) -> None:
        self.base_dir = base_dir
        self.manifest = manifest
        self.rows: int = file.metadata.num_rows
        self._file = file
        self._columns: dict[str, pa.Array] = {}
        self._values: dict[str, list[Any]] = {}
        self._decoded: dict[str, tuple[int, Any]] = {}
        self._pieces: dict[tuple[str, int], pa.Array] = {}
        self._settled = bytearray()

    @classmethod
    def open(cls, base_dir: str) -> CatalogIndex | None:
        """Opens the catalog; None if there is none, or none that can be used."""

        def index_of(manifest: Manifest) -> CatalogIndex:
            return cls(base_dir, manifest, open_table_file(base_dir, manifest))

        return newest_index(lambda: read_manifest(base_dir), index_of, _SIGNATURE)

    def _load(self, *names: str) -> None:
        missing = [name for name in names if name not in self._columns]
        if missing:
            table = self._file.read(columns=missing)
            for name in missing:
                self._columns[name] = table[name].combine_chunks()

    def column(self, name: str) -> pa.Array:
        """A column of the table, newest run first.

        Raises:
            LookupError: it cannot be read; ask the runs' directories.
        """
        try:
            self._load(name)
        except (OSError, pa.ArrowException) as exc:
            raise LookupError(name) from exc
        return self._columns[name]

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The table, or some of its columns.

        Raises:
            LookupError: it cannot be read; ask the runs' directories.
        """
        try:
            names = None if columns is None else list(columns)
            table = self._file.read(columns=names)
            return table if names is None else table.select(names)
        except (OSError, pa.ArrowException, KeyError) as exc:
            raise LookupError from exc

    def newest(self, columns: Sequence[str], rows: int) -> pa.RecordBatch:
        """The first rows of some columns, which are read no further.

        Raises:
            LookupError: they cannot be read; ask the runs' directories.
        """
        try:
            return next(self._file.iter_batches(rows, columns=list(columns)))
        except (OSError, pa.ArrowException, KeyError, StopIteration) as exc:
            raise LookupError from exc

    def cell(self, column: str, row: int) -> Any:
        """One value of a column that is no JSON.

        Raises:
            LookupError: it cannot be read; ask the run's directory.
        """
        return self.column(column)[row].as_py()

    def text(self, column: str, row: int) -> str | None:
        """The text of a JSON column of one run; None if it cannot express the value.

        Of a column that nothing has needed, only the rows around this one are read.

        Raises:
            LookupError: it cannot be read; ask the run's directory.
        """
        if column in self._columns:
            return _text(self._columns[column], row)
        group, first = self._group_of(row)
        if (column, group) not in self._pieces:
            try:
                table = self._file.read_row_group(group, columns=[column])
            except (OSError, pa.ArrowException) as exc:
                raise LookupError(column) from exc
            self._pieces[column, group] = table[column].combine_chunks()
        return _text(self._pieces[column, group], row - first)

    def _group_of(self, row: int) -> tuple[int, int]:
        """The row group that a row is in, and its first row."""
        first = 0
        for group in range(self._file.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            if row < first + count:
                return group, first
            first += count
        raise LookupError(row)

    def value(self, row: int, column: str) -> Any:
        """A value of a run; that of a JSON column decoded.

        Raises:
            LookupError: it is not in the catalog; ask the run's directory.
        """
        if column not in _JSON:
            return self.values(column)[row]
        text = self.text(column, row)
        if text is None:
            raise LookupError(column)
        known = self._decoded.get(column)
        if known is None or known[0] != row:
            known = self._decoded[column] = (row, from_json(text))
        return known[1]

    def values(self, name: str) -> list[Any]:
        """The values of a column of the table.

        Raises:
            LookupError: it cannot be read; ask the runs' directories.
        """
        found = self._values.get(name)
        if found is None:
            found = self._values[name] = self.column(name).to_pylist()
        return found

    def look(self, chosen: Collection[str] | None) -> tuple[bytearray, list[str]]:
        """Looks at the runs of the chosen experiments; of all if None.

        Returns:
            For each row of the table whether it is there and holds; the directories of other runs.

        Raises:
            StorageError: the base directory does not exist.
        """
        current = bytearray(self.rows)
        others: list[str] = []
        known = dict(zip(self.paths, range(self.rows), strict=True))
        signatures = list(zip(*map(self.values, _SIGNATURE), strict=True))
        stat, add, find = os.stat, others.append, known.get
        for experiment in experiments(self.base_dir):
            if chosen is not None and experiment not in chosen:
                continue
            above = os.path.join(self.base_dir, experiment, "")
            for name in _names(above):
                path = above + name
                row = find(path)
                if row is None:
                    if os.path.isdir(path):
                        add(path)
                    continue
                try:
                    info = stat(f"{path}/{RUN_YAML}")
                except OSError:
                    add(path)
                    continue
                if signatures[row] == (info.st_ino, info.st_mtime_ns, info.st_size):
                    current[row] = 1
                else:
                    add(path)
        return current, others

    @cached_property
    def paths(self) -> list[str]:
        """The directories of the runs, newest run first."""
        base = self.base_dir if self.base_dir.endswith("/") else self.base_dir + "/"
        names = zip(self.values("experiment"), self.values("run"), strict=True)
        return [f"{base}{experiment}/{run}" for experiment, run in names]

    def settle(self, current: bytearray) -> None:
        """Treats these rows as current from now on. For a process that soon ends."""
        self._settled = current

    def holds(self, row: int, run: Run) -> bool:
        """True if the run's run.yaml is still the one that the row was made of."""
        if self._settled and self._settled[row]:
            return True
        try:
            info = os.stat(f"{run.path}/{RUN_YAML}")
        except OSError:
            return False
        inodes, mtimes, sizes = map(self.values, _SIGNATURE)
        signature = (inodes[row], mtimes[row], sizes[row])
        return signature == (info.st_ino, info.st_mtime_ns, info.st_size)

    def config_holds(self, row: int, run: Run) -> bool:
        """True if the parameters that the catalog has are still those of the run."""
        expected = self.values("config_signature")[row]
        return bool(expected == signature_of(run.path, CONFIG_YAML))

    def rows_hold(self, row: int, run: Run) -> bool:
        """True if the run's rows are still those that are in a part of the catalog."""
        if not self.holds(row, run):
            return False
        expected = self.values("rows_signature")[row]
        return bool(expected == signature_of(run.path, VECTORS_PARQUET))

    def part_path(self, part: str) -> str:
        """Where a part is on this machine.

        Raises:
            LookupError: it cannot be had.
        """
        return catalog_path(self.base_dir, part)

    def choose(
        self,
        current: bytearray,
        statuses: Collection[RunStatus] | None,
        tag_filter: TagFilter | None,
        group: str | None,
        earliest: datetime.datetime | None,
    ) -> list[int]:
        """Returns the rows that hold and that the filters leave, newest first.

        Raises:
            LookupError: the catalog cannot be read; ask the runs' directories.
        """
        rows = rows_of(current)
        if statuses is not None:
            wanted, found = set(map(str, statuses)), self.values("status")
            rows = [row for row in rows if found[row] in wanted]
        if group is not None:
            groups = self.values("group")
            rows = [row for row in rows if groups[row] == group]
        if earliest is not None:
            least = (earliest - _EPOCH) // _MICROSECOND
            began = self.column("started_at").cast(pa.int64()).to_pylist()
            rows = [row for row in rows if (moment := began[row]) is not None and moment >= least]
        if tag_filter is not None:
            tags = self.values("tags")
            rows = [row for row in rows if tag_filter.matches(tags[row] or ())]
        return rows

    def listed(self, rows: list[int]) -> ListedRuns:
        """Returns the runs of these rows.

        Raises:
            LookupError: the catalog cannot be read; ask the runs' directories.
        """
        paths, listed = self.paths, Run._listed
        runs = [listed(paths[row], self, row) for row in rows]
        return ListedRuns(runs, self.column("sort_key"))


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_SIGNATURE = ("yaml_inode", "yaml_mtime_ns", "yaml_size")
_JSON = frozenset({"params", "scalars", "last", "best", "facts"})


def _text(column: pa.Array, row: int) -> str | None:
    found: str | None = column[row].as_py()
    return found


class ListedRuns:
    """Runs of a catalog, newest first.

    Attributes:
        runs: the runs.
    """

    def __init__(self, runs: list[Run], sort_keys: pa.Array) -> None:
        self.runs = runs
        self._keys = sort_keys

    def place(self, sort_key: str, path: str) -> int:
        """Returns how many of the runs come before one with this key and path."""
        wanted = _Descending(sort_key, path)
        return bisect.bisect_left(
            range(len(self.runs)),
            wanted,
            key=self._key,
        )

    def _key(self, number: int) -> _Descending:
        run = self.runs[number]
        return _Descending(self._keys[run._row].as_py(), run._local_dir)


class _Descending:
    """A key that sorts the other way round."""

    __slots__ = ("_key",)

    def __init__(self, *key: str) -> None:
        self._key: tuple[str, ...] = key

    def __lt__(self, other: _Descending) -> bool:
        return self._key > other._key


def newest_index(
    find_manifest: Callable[[], Manifest | None],
    index_of: Callable[[Manifest], _Index],
    needed: Sequence[str] = (),
) -> _Index | None:
    """Opens a catalog; None if there is none, or none that can be used.

    Args:
        find_manifest: returns the manifest that there is now.
        index_of: opens the table of runs that it names.
        needed: columns that are read at once besides the names of the runs.
    """
    for _ in range(3):  # a newer version may replace it meanwhile
        manifest = find_manifest()
        if manifest is None or not manifest.runs_file:
            return None
        try:
            index = index_of(manifest)
            index._load("experiment", "run", *needed)
            return index
        except FileNotFoundError:
            continue
        except (OSError, pa.ArrowException, KeyError):
            return None
    return None


def open_table_file(base_dir: str, manifest: Manifest) -> pq.ParquetFile:
    """Opens the table of runs of a catalog.

    Raises:
        OSError: it is not there, or cannot be read.
        pyarrow.ArrowException: it is damaged.
    """
    return pq.ParquetFile(pa.OSFile(catalog_path(base_dir, manifest.runs_file)))


def rows_of(current: bytearray) -> list[int]:
    """Returns the numbers of the rows that hold."""
    return list(itertools.compress(range(len(current)), current))


def _names(directory: str) -> list[str]:
    try:
        return [name for name in os.listdir(directory) if not name.startswith(".")]
    except OSError:
        return []
