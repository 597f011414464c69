"""Puts the rows of about a thousand finished runs into one file.

Runs of one experiment whose rows have the same columns go into the same files, newest first, so
that each run's rows are a slice with exactly the columns and types of its own files. Few runs of a
kind stay where they are. A small file is joined with new runs once there are as many of them as it
has: so a run is rewritten about log₂(1000) times at most.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from expman.errors import StorageError
from expman.job_map import JobMap, in_this_process
from expman.reading.catalog_rows import LABELS, PartReader
from expman.reading.run_facts import fingerprint
from expman.reading.signatures import signature_of
from expman.reading.vectors import stored_rows
from expman.storage.catalog_files import PartFile, catalog_path, new_name, write_table
from expman.storage.paths import VECTORS_PARQUET

__all__ = ["LEAST_RUNS", "Compaction"]

MOST_RUNS = 1000
LEAST_RUNS = 16
"""Of fewer runs, the files of each are as quick as one with the rows of all."""
MOST_ROWS = 5_000_000
"""Of one file, about: it is made in memory. A run of more stays in its own file."""
_GROUP_ROWS = 131_072
_LIVE_SHARE = 0.5
"""A file of which a smaller share is in use is given up."""


class _Place(NamedTuple):
    part: str
    offset: int
    rows: int


class _Candidate(NamedTuple):
    """A run as the table of runs has it, and where its rows are."""

    row: int
    experiment: str
    run: str
    sort_key: str
    columns: str
    rows_signature: str
    rows: int | None
    place: _Place | None


class _Job(NamedTuple):
    """Runs whose rows go into one file, or into several if there are more rows than expected."""

    base_dir: str
    kind: tuple[str, str]
    runs: list[_Candidate]


class Compaction:
    """The files with rows of a new version of the catalog.

    Args:
        base_dir: directory that holds all experiments.
        old: the files of the version before.
        job_map: who writes new files.
    """

    def __init__(
        self, base_dir: str, old: Sequence[PartFile], job_map: JobMap = in_this_process
    ) -> None:
        self._base_dir = base_dir
        self._job_map = job_map
        self._kept = {part.name: part for part in old}
        self._places: dict[int, _Place] = {}

    @property
    def parts(self) -> tuple[PartFile, ...]:
        """The files of the new version."""
        return tuple(self._kept.values())

    def apply(self, table: pa.Table) -> pa.Table:
        """Compacts runs of a table of runs; returns it with their new places.

        Raises:
            StorageError: a file cannot be written.
        """
        members: dict[str, list[_Candidate]] = defaultdict(list)
        groups: dict[tuple[str, str], list[_Candidate]] = defaultdict(list)
        for one in _candidates(table):
            if one.place is not None:
                members[one.place.part].append(one)
        for name, part in list(self._kept.items()):
            is_there = os.path.exists(catalog_path(self._base_dir, name))
            if not is_there or len(members[name]) < max(1, part.runs * _LIVE_SHARE):
                del self._kept[name]
        for one in _candidates(table):
            if one.place is not None and one.place.part in self._kept:
                self._places[one.row] = one.place
            elif one.columns and (one.rows or 0) <= MOST_ROWS:
                groups[one.experiment, one.columns].append(one)
        jobs: list[_Job] = []
        for kind, runs in groups.items():
            every = self._with_small(kind, runs, members)
            if len(every) >= LEAST_RUNS:
                every.sort(key=lambda one: (one.sort_key, one.run), reverse=True)
                jobs += (_Job(self._base_dir, kind, some) for some in _parted(every))
        for job, made in zip(jobs, self._job_map(_write_parts, jobs), strict=True):
            for one in job.runs:
                self._places.pop(one.row, None)
            for part, taken in made:
                self._kept[part.name] = part
                self._places.update(taken)
        return _placed(table, self._places)

    def _with_small(
        self,
        kind: tuple[str, str],
        runs: list[_Candidate],
        members: dict[str, list[_Candidate]],
    ) -> list[_Candidate]:
        """Adds the runs of small files that are to be joined with these."""
        small = [
            part
            for part in self._kept.values()
            if (part.experiment, part.columns) == kind
            and part.runs < MOST_RUNS
            and part.rows < MOST_ROWS
        ]
        for part in sorted(small, key=lambda part: part.runs):
            if len(runs) < part.runs:
                break
            runs = runs + members[part.name]
            del self._kept[part.name]
        return runs


def _parted(runs: list[_Candidate]) -> Iterator[list[_Candidate]]:
    """Yields the runs for each file."""
    some: list[_Candidate] = []
    rows = 0
    for one in runs:
        some.append(one)
        rows += one.rows or 0
        if len(some) == MOST_RUNS or rows >= MOST_ROWS:
            yield some
            some, rows = [], 0
    if some:
        yield some


def _write_parts(job: _Job) -> list[tuple[PartFile, dict[int, _Place]]]:
    """Writes the files of a job; returns each with the places of its runs.

    Raises:
        StorageError: a file cannot be written.
    """
    made: list[tuple[PartFile, dict[int, _Place]]] = []
    left = iter(job.runs)
    while True:
        part = _NewPart(job.base_dir, job.kind)
        for one in left:
            part.add(one)
            if part.is_full:
                break
        if not part.taken:
            return made
        made.append((part.write(), part.taken))


class _NewPart:
    """A file that is being made; what it was made of is read run by run.

    Attributes:
        name: the file's name.
        taken: row of each run in the table of runs, and where its rows are.
    """

    def __init__(self, base_dir: str, kind: tuple[str, str]) -> None:
        self.name = new_name("rows")
        self.taken: dict[int, _Place] = {}
        self._base_dir = base_dir
        self._experiment, self._columns = kind
        self._old = PartReader(partial(catalog_path, base_dir), None)
        self._runs: list[str] = []
        self._tables: list[pa.Table] = []
        self._rows = 0

    @property
    def is_full(self) -> bool:
        """True if no further run fits in."""
        return len(self._runs) == MOST_RUNS or self._rows >= MOST_ROWS

    def add(self, one: _Candidate) -> None:
        """Adds a run, unless its rows cannot be read, or changed since its row was made."""
        table = self._read(one)
        if table is None:
            return
        self.taken[one.row] = _Place(self.name, self._rows, table.num_rows)
        self._runs.append(one.run)
        self._tables.append(table)
        self._rows += table.num_rows

    def _read(self, one: _Candidate) -> pa.Table | None:
        if one.place is not None:
            try:
                return self._old.rows(*one.place)
            except LookupError:
                pass
        run_dir = f"{self._base_dir}/{one.experiment}/{one.run}"
        try:
            table = stored_rows(run_dir)
        except StorageError:
            return None
        is_same = fingerprint(table.schema) == self._columns and one.rows_signature == signature_of(
            run_dir, VECTORS_PARQUET
        )
        return table if is_same else None

    def write(self) -> PartFile:
        """Writes the file.

        Raises:
            StorageError: it cannot be written.
        """
        rows = pa.concat_tables(self._tables)
        labels = [pa.repeat(pa.scalar(self._experiment), rows.num_rows), self._run_labels()]
        names = [*LABELS, *rows.column_names]
        table = pa.table([*labels, *rows.columns], names=names)
        table = table.replace_schema_metadata(rows.schema.metadata)
        write_table(self._base_dir, self.name, table, group_rows=_GROUP_ROWS)
        return PartFile(
            name=self.name,
            experiment=self._experiment,
            columns=self._columns,
            runs=len(self._runs),
            rows=self._rows,
        )

    def _run_labels(self) -> pa.Array:
        """The name of its run for each row; some runs have no row."""
        places = zip(self.taken.values(), self._runs, strict=True)
        ends = [(place.offset + place.rows, run) for place, run in places if place.rows]
        if not ends:
            return pa.array([], pa.string())
        encoded = pa.RunEndEncodedArray.from_arrays(
            pa.array([end for end, _ in ends], pa.int32()),
            pa.array([run for _, run in ends], pa.string()),
        )
        return pc.run_end_decode(encoded)


_NEEDED = ("experiment", "run", "sort_key", "columns", "rows_signature", "rows")
_PLACE = ("part", "part_offset", "part_rows")


def _candidates(table: pa.Table) -> list[_Candidate]:
    columns = [table[name].to_pylist() for name in _NEEDED]
    places = [
        None if place[0] is None else _Place(*place)
        for place in zip(*(table[name].to_pylist() for name in _PLACE), strict=True)
    ]
    numbered = enumerate(zip(*columns, places, strict=True))
    return [_Candidate(row, *values) for row, values in numbered]


def _placed(table: pa.Table, places: dict[int, _Place]) -> pa.Table:
    for number, column in enumerate(_PLACE):
        index = table.schema.get_field_index(column)
        field = table.schema.field(index)
        values = [
            None if (place := places.get(row)) is None else place[number]
            for row in range(table.num_rows)
        ]
        table = table.set_column(index, field, pa.array(values, field.type))
    return table
