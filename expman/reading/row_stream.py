"""Rows of very many runs as a stream: one part of a catalog after the other is in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from expman.errors import StorageError
from expman.reading.catalog_rows import PartPiece, PartReader, RowsOfRuns, pieces_of
from expman.reading.columns import stack
from expman.reading.multirun import (
    beside_labels,
    by_metric,
    chosen_columns,
    common_columns,
    ids_last,
    stored_names,
    with_facts,
)
from expman.reading.run import Run
from expman.reading.sql import distinct_names
from expman.reading.vectors import read_vectors

__all__ = ["RowStream"]

_BATCH_ROWS = 131_072
_LABEL = pa.dictionary(pa.int32(), pa.string())


class RowStream:
    """The rows of runs, as `all_rows` gives them with ids, with names that SQL distinguishes.

    Each request for the stream (Arrow PyCapsule interface) starts at its beginning. Rows of runs
    that are in no part are held in memory. Runs that cannot be read are left out.

    Args:
        runs: the runs.
        columns: as in `vectors`.
        labels: those of `experiment` and `run` that are wanted.

    Attributes:
        schema: the columns.
        is_worth_it: most runs are in parts, and there are columns.
    """

    def __init__(
        self, runs: Sequence[Run], columns: Sequence[str] | None, labels: Sequence[str]
    ) -> None:
        self._runs, self._labels = runs, {name: name for name in labels}
        self._wanted = stored_names(columns)
        self._pieces: dict[int, PartPiece | RowsOfRuns] = {
            one.first: one for one in pieces_of(runs)
        }
        in_parts = {
            number
            for one in self._pieces.values()
            for number in range(one[0], one[0] + len(one.counts))
        }
        self.is_worth_it = len(in_parts) > len(runs) / 2
        self.schema = pa.schema([])
        if self.is_worth_it:
            self._hold(number for number in range(len(runs)) if number not in in_parts)
            self._find_columns(columns)

    def _hold(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            table = self._rows_of(self._runs[number])
            if table is not None:
                self._pieces[number] = RowsOfRuns(table, [table.num_rows])

    def _rows_of(self, run: Run) -> pa.Table | None:
        try:
            return read_vectors(run.path, self._wanted, lenient=True, with_ids=True)
        except StorageError:
            return None

    def _find_columns(self, columns: Sequence[str] | None) -> None:
        schemas = []
        seen = set()
        try:
            for first in sorted(self._pieces):
                one = self._pieces[first]
                if isinstance(one, RowsOfRuns):
                    schemas.append(by_metric(one.table).schema)
                elif (one.catalog, one.part) not in seen:
                    seen.add((one.catalog, one.part))
                    empty = PartReader(one.catalog.part_path, self._wanted).empty(one.part)
                    schemas.append(by_metric(empty).schema)
        except LookupError:  # its runs have their files
            self.is_worth_it = False
            return
        types, self._plain = common_columns(schemas)
        self._types = ids_last(types) if columns is None else chosen_columns(types, columns, ())
        self.is_worth_it = bool(self._types)
        fields = [(name, _LABEL) for name in self._labels]
        named = zip(beside_labels(self._types), self._types.values(), strict=True)
        whole = pa.schema([*fields, *named])
        self.schema = distinct_names(whole.empty_table()).schema

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Exports the stream, from its beginning."""
        return self.reader().__arrow_c_stream__(requested_schema)

    def reader(self) -> pa.RecordBatchReader:
        """Returns a reader that starts at the beginning."""
        return pa.RecordBatchReader.from_batches(self.schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        last: tuple[PartPiece, PartReader] | None = None
        for first in sorted(self._pieces):
            one = self._pieces[first]
            if isinstance(one, RowsOfRuns):
                yield from self._shaped(first, one)
                continue
            if last is None or (last[0].catalog, last[0].part) != (one.catalog, one.part):
                last = one, PartReader(one.catalog.part_path, self._wanted)
            try:
                table = last[1].rows(one.part, one.offset, one.rows)
            except LookupError:  # a newer catalog has replaced it
                yield from self._one_by_one(one)
            else:
                yield from self._shaped(first, RowsOfRuns(table, one.counts))

    def _one_by_one(self, piece: PartPiece) -> Iterator[pa.RecordBatch]:
        for number in range(piece.first, piece.first + len(piece.counts)):
            rows = self._rows_of(self._runs[number])
            if rows is not None:
                yield from self._shaped(number, RowsOfRuns(rows, [rows.num_rows]))

    def _shaped(self, first: int, found: RowsOfRuns) -> Iterator[pa.RecordBatch]:
        table = by_metric(found.table)
        if not table.num_columns:
            return  # as in `all_rows`: rows without any of the columns are none
        table = table.rename_columns([self._plain.get(name, name) for name in table.column_names])
        rows = stack([table], self._types)
        runs = self._runs[first : first + len(found.counts)]
        whole = with_facts(rows, runs, found.counts, self._labels)
        yield from whole.rename_columns(self.schema.names).to_batches(max_chunksize=_BATCH_ROWS)
