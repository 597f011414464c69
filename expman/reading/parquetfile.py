"""Reader of vectors.parquet or system.parquet, opened once: a replacement cannot tear it."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from expman.reading.tailfiles import unreadable
from expman.storage.arrowfile import open_arrow
from expman.storage.columns import check_layout, columns_metadata
from expman.storage.contents import LANES_KEY
from expman.storage.paths import VECTORS, parquet_name, storage_error

__all__ = ["VectorsParquet", "keep_after"]


class VectorsParquet:
    """The opened vectors.parquet of a run, or system.parquet, which is of the same kind.

    Attributes:
        schema: its Arrow schema.
        lanes: how far each producer's rows are in the file; None if expman did not write it.
        metric_of: column to metric, for columns whose name is not their metric's.
    """

    def __init__(self, path: str, file: pa.NativeFile) -> None:
        self.path = path
        self._file = pq.ParquetFile(file, pre_buffer=False)
        self.schema: pa.Schema = self._file.schema_arrow
        self.rows: int = self._file.metadata.num_rows
        metadata = self.schema.metadata or {}
        check_layout(path, metadata)
        self.lanes = _lanes(metadata)
        self.metric_of = columns_metadata(metadata)

    @classmethod
    def open(cls, run_dir: str, stem: str = VECTORS) -> VectorsParquet | None:
        """Opens the file of a run; None if it does not exist (yet).

        Raises:
            StorageError: it cannot be read, or a later version of expman wrote it.
        """
        path = os.path.join(run_dir, parquet_name(stem))
        try:
            return cls(path, open_arrow(path, follow=True))
        except FileNotFoundError:
            return None
        except (pa.ArrowException, OSError) as exc:
            if isinstance(exc, OSError) and exc.errno:
                raise storage_error(path, exc) from exc
            raise unreadable(path, exc) from exc

    def read(self, columns: Collection[str] | None, groups: list[int] | None = None) -> pa.Table:
        """Reads some columns of some row groups, in the file's order of columns.

        Raises:
            StorageError: it cannot be read.
        """
        chosen = list(range(self._file.num_row_groups)) if groups is None else groups
        names = [name for name in self.schema.names if columns is None or name in columns]
        try:
            if not names:  # no column is wanted, but the number of rows is
                count = sum(self._file.metadata.row_group(group).num_rows for group in chosen)
                return pa.table({"": pa.nulls(count)}).select([])
            return self._file.read_row_groups(chosen, columns=names)
        except (pa.ArrowException, OSError) as exc:
            if isinstance(exc, OSError) and exc.errno:
                raise storage_error(self.path, exc) from exc
            raise unreadable(self.path, exc) from exc

    def last_groups(self, rows: int) -> list[int]:
        """Returns the last row groups that together hold at least so many rows."""
        metadata = self._file.metadata
        groups: list[int] = []
        for group in reversed(range(metadata.num_row_groups)):
            if rows <= 0:
                break
            groups.insert(0, group)
            rows -= metadata.row_group(group).num_rows
        return groups

    def groups_with(self, column: str, low: int | None, high: int | None) -> list[int]:
        """Returns the row groups whose statistics do not rule out values from `low` to `high`."""
        metadata = self._file.metadata
        paths = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
        index = paths.index(column) if column in paths else None
        groups = []
        for group in range(metadata.num_row_groups):
            found = None if index is None else metadata.row_group(group).column(index).statistics
            if found is not None and found.has_min_max:
                below = low is not None and found.max < low
                above = high is not None and found.min > high
                if below or above:
                    continue
            groups.append(group)
        return groups

    def read_after(self, seqs: Mapping[str, int]) -> Iterator[pa.Table]:
        """Yields rows at or after the given seq of their producer, a row group at a time."""
        lowest = min((seqs.get(producer, 0) for producer in self.lanes or {}), default=0)
        for group in self.groups_with("_seq", lowest, None):
            yield keep_after(self.read(None, [group]), seqs)

    def close(self) -> None:
        """Closes the file."""
        self._file.close(force=True)

    def __enter__(self) -> VectorsParquet:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _lanes(metadata: Mapping[bytes, bytes]) -> dict[str, int] | None:
    try:
        found = json.loads(metadata[LANES_KEY.encode()])
        return {str(producer): int(seq) for producer, seq in found.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def keep_after(table: pa.Table, seqs: Mapping[str, int]) -> pa.Table:
    """Returns the rows of a table at or after the given seq of their producer."""
    if not table.num_rows or not any(seqs.values()):
        return table
    producers = list(seqs)
    # The bound of each row's producer; 0 for a producer that is not in `seqs`.
    index = pc.index_in(table["_producer"].combine_chunks(), pa.array(producers, pa.string()))
    bounds = pa.array([seqs[producer] for producer in producers], pa.int64())
    bound = pc.fill_null(bounds.take(index), 0)
    keep = pc.greater_equal(table["_seq"].combine_chunks(), bound)
    if pc.all(keep).as_py():
        return table
    return table.filter(keep)
