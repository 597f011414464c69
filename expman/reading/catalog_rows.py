"""Rows of many runs from the files of a catalog, in which those of about a thousand are together.

A part has the rows of runs of one experiment with the same columns, run after run. A run's rows
are a slice of it. They are those that the run's own files have as long as its vectors.parquet and
its run.yaml are the ones that the part was made of.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from expman.reading.catalog_index import CatalogIndex
from expman.reading.columns import FIXED, stack
from expman.reading.run import Run
from expman.reading.vectors import Steps, step_mask
from expman.storage.columns import COLUMNS_KEY, columns_metadata

__all__ = ["LABELS", "PartPiece", "PartReader", "RowsOfRuns", "compacted_rows", "pieces_of"]

LABELS = ("_experiment", "_run")
"""Columns of a part that say whose row it is. Runs with a metric like these are in no part."""


class PartReader:
    """Reads parts of a catalog, each one once.

    Args:
        path_of: returns where a part is.
        columns: as in `read_vectors`, lenient; None for all columns.
    """

    def __init__(self, path_of: Callable[[str], str], columns: Sequence[str] | None) -> None:
        self._path_of = path_of
        self._columns = columns
        self._tables: dict[str, pa.Table] = {}

    def rows(self, part: str, offset: int, count: int) -> pa.Table:
        """Returns rows of a part, with those of the wanted columns that it has.

        Raises:
            LookupError: it cannot be read.
        """
        return self.table(part).slice(offset, count)

    def table(self, part: str) -> pa.Table:
        """Returns all rows of a part.

        Raises:
            LookupError: it cannot be read.
        """
        if part not in self._tables:
            try:
                self._tables[part] = self._read(part)
            except (OSError, pa.ArrowException) as exc:
                raise LookupError(part) from exc
        return self._tables[part]

    def empty(self, part: str) -> pa.Table:
        """Returns a table without rows that has the wanted columns of a part.

        Raises:
            LookupError: it cannot be read.
        """
        try:
            return self._read(part, without_rows=True)
        except (OSError, pa.ArrowException) as exc:
            raise LookupError(part) from exc

    def _read(self, part: str, *, without_rows: bool = False) -> pa.Table:
        with pa.OSFile(self._path_of(part)) as source:
            file = pq.ParquetFile(source)
            schema = file.schema_arrow
            there = schema.names[len(LABELS) :]
            wanted = there
            if self._columns is not None:
                wanted = [name for name in self._columns if name in there or name in FIXED]
            read = [name for name in wanted if name in there]
            if without_rows:
                table = schema.empty_table().select(read)
            elif read:
                table = file.read(columns=read)
            else:
                table = pa.table({"": pa.nulls(file.metadata.num_rows)}).select([])
        types = {name: schema.field(name).type if name in there else FIXED[name] for name in wanted}
        known = columns_metadata(schema.metadata)
        renamed = {name: known[name] for name in wanted if name in known}
        metadata = {COLUMNS_KEY: json.dumps(renamed).encode()} if renamed else None
        whole = stack([table], types) if types else table
        return whole.replace_schema_metadata(metadata)


class RowsOfRuns(NamedTuple):
    """Rows of runs that follow each other.

    Attributes:
        table: the rows.
        counts: how many of them each run has.
    """

    table: pa.Table
    counts: list[int]


def compacted_rows(
    runs: Sequence[Run],
    columns: Sequence[str] | None,
    *,
    last: int | None = None,
    steps: Steps | None = None,
    with_ids: bool = False,
) -> tuple[dict[int, RowsOfRuns], set[int]]:
    """Reads the rows of runs from parts of a catalog, as far as they are there and hold.

    Args:
        runs: the runs.
        columns: as in `read_vectors`, lenient.
        last: only so many rows of each run, the newest ones; not with `steps`.
        steps: only rows with these steps.
        with_ids: as in `read_vectors`.

    Returns:
        Rows by the number of the first run that they belong to, and the numbers of all their runs.
    """
    found: dict[int, RowsOfRuns] = {}
    readers: dict[CatalogIndex, PartReader] = {}
    for first, catalog, part, offset, rows, counts in pieces_of(runs, last):
        if catalog not in readers:
            needed = columns
            if columns is not None and steps is not None and "step" not in columns:
                needed = [*columns, "step"]
            readers[catalog] = PartReader(catalog.part_path, needed)
        try:
            table = readers[catalog].rows(part, offset, rows)
        except LookupError:
            continue
        if steps is not None:
            table, counts = _with_steps(table, counts, steps)
        dropped: Sequence[str] = () if columns is None or "step" in columns else ("step",)
        if columns is None and not with_ids:
            dropped = _ROW_ID
        table = table.drop_columns([name for name in dropped if name in table.column_names])
        if not table.num_columns:  # as where a run's own files are read
            counts = [0] * len(counts)
        found[first] = RowsOfRuns(table, counts)
    covered = {
        number for first, one in found.items() for number in range(first, first + len(one.counts))
    }
    return found, covered


class PartPiece(NamedTuple):
    """Rows of runs that follow each other in a list, and in a part.

    Attributes:
        first: number of the first run in the list.
        catalog: the catalog that has the part.
        part: the part.
        offset: place of the first row in it.
        rows: number of rows.
        counts: how many of them each run has.
    """

    first: int
    catalog: CatalogIndex
    part: str
    offset: int
    rows: int
    counts: list[int]


def pieces_of(runs: Sequence[Run], last: int | None = None) -> list[PartPiece]:
    """Finds the rows of runs in parts of catalogs, as far as they are there and hold.

    Args:
        runs: the runs.
        last: only so many rows of each run, the newest ones.
    """
    pieces: list[PartPiece] = []
    for number, run in enumerate(runs):
        place = _place(run)
        if place is None:
            continue
        catalog, part, offset, count = place
        if last is not None and count > last:
            offset, count = offset + count - last, last
        if pieces:
            first, its_catalog, its_part, begin, rows, counts = pieces[-1]
            follows = number == first + len(counts) and offset == begin + rows
            if follows and catalog is its_catalog and part == its_part:
                counts.append(count)
                pieces[-1] = PartPiece(first, catalog, part, begin, rows + count, counts)
                continue
        pieces.append(PartPiece(number, catalog, part, offset, count, [count]))
    return pieces


_ROW_ID = ("_producer", "_seq")


def _with_steps(table: pa.Table, counts: list[int], steps: Steps) -> tuple[pa.Table, list[int]]:
    """Leaves out rows with other steps; returns how many rows each run has then."""
    mask = step_mask(table["step"], steps).combine_chunks()
    sums = pc.cumulative_sum(mask.cast(pa.int64())).to_pylist()
    ends = [sums[end - 1] if end else 0 for end in itertools.accumulate(counts)]
    return table.filter(mask), [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _place(run: Run) -> tuple[CatalogIndex, str, int, int] | None:
    """Returns catalog, part, offset and number of a run's rows; None if its files must be read."""
    catalog, row = run._catalog, run._row
    if catalog is None:
        return None
    try:
        part = catalog.values("part")[row]
        if part is None or not catalog.rows_hold(row, run):
            return None
        offset, count = (catalog.values(name)[row] for name in ("part_offset", "part_rows"))
        return catalog, part, offset, count
    except LookupError:
        return None
