"""Rewrites vectors.parquet from its old content and the tail, in bounded memory.

The work runs in a thread of the writer process, nearly all of it in Arrow without the GIL, so
that the writer goes on polling its lanes meanwhile. The thread reads only
sealed files and writes only its temporary file; the store renames that file and owns all state.

Parquet with what every reader knows: zstd, statistics, plain logical types (no Arrow schema),
dictionary for text, delta encoding for integers, and for floats a dictionary where values repeat
(Apache Parquet format, "Encodings"). Not byte-stream-split, which would take 6 % less: Spark's
vectorized reader refuses it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from expman.failpoints import hit
from expman.storage.columns import COLUMNS_KEY, LAYOUT_KEY, LAYOUT_VERSION
from expman.storage.contents import Contents
from expman.storage.making import FileInMaking
from expman.storage.row_groups import Findings, RowGroups
from expman.storage.tail import TailFile

__all__ = ["Rewrite", "footer_of", "open_writer"]

SAMPLE_ROWS = 4096
SHORT_SAMPLE = 64
FEW_VALUES = 128
MANY_COLUMNS = 256
JOIN_S = 10.0


class Rewrite(FileInMaking):
    """One rewrite: `start()`, then `wait()` until it returns True, then look at the outcome.

    Args:
        run_dir: where the new file is made.
        base: path of the old vectors.parquet; None if there is none.
        tails: tail files, in order.
        schema: of the new file.
        contents: what the files hold, for the footer.
        compact: join row groups that are not full.
        sparse: most cells are null.

    Attributes:
        rows: rows in it.
        groups: row groups in it.
        is_compact: all of them, but for the last one, are full.
    """

    def __init__(
        self,
        run_dir: str,
        base: str | None,
        tails: Sequence[TailFile],
        schema: pa.Schema,
        contents: Contents,
        *,
        compact: bool,
        sparse: bool = False,
    ) -> None:
        super().__init__(run_dir, "expman-consolidate")
        self.rows = 0
        self.groups = 0
        self.is_compact = True
        self._schema = schema
        self._contents = contents.copy()
        self._source = RowGroups(
            base, tails, schema, self._cancelled, compact=compact, sparse=sparse
        )

    @property
    def findings(self) -> Findings:
        """Faults of the old files."""
        return self._source.findings

    def cancel(self, wait_s: float = JOIN_S) -> None:
        """See FileInMaking; the caller may remove what the thread reads once it has ended."""
        super().cancel(wait_s)

    def _make(self) -> None:
        self._write_temp(self._write)

    def _write(self, temp: str) -> None:
        groups, full = iter(self._source), self._source.group_rows
        first = next(groups, None)
        sample = self._schema.empty_table() if first is None else first
        with open_writer(temp, self._schema, sample) as writer:
            previous = 0
            while first is not None and not self.cancelled:
                hit("parquet-row-group")
                writer.write_table(first, row_group_size=max(full, first.num_rows))
                self.rows += first.num_rows
                self.groups += 1
                self.is_compact &= not previous or previous == full
                previous = first.num_rows
                del first  # before the next one is read
                first = next(groups, None)
            writer.add_key_value_metadata(
                self._contents.footer(self.rows) | footer_of(self._schema)
            )


def open_writer(path: str, schema: pa.Schema, sample: pa.Table) -> pq.ParquetWriter:
    """Opens a Parquet file for rows of a run.

    Args:
        path: of the file.
        schema: its columns.
        sample: rows that are typical; they decide the encodings.
    """
    dictionary, encodings = _encodings(sample)
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        write_statistics=True,
        store_schema=False,
        use_dictionary=dictionary,
        column_encoding=encodings,
    )


def footer_of(schema: pa.Schema) -> dict[str, str]:
    """What the footer of each file of rows has."""
    footer = {LAYOUT_KEY.decode(): str(LAYOUT_VERSION)}
    # Without an Arrow schema in the file, pyarrow leaves the schema's metadata out.
    renamed = (schema.metadata or {}).get(COLUMNS_KEY)
    if renamed is not None:
        footer[COLUMNS_KEY.decode()] = renamed.decode()
    return footer


def _encodings(sample: pa.Table) -> tuple[list[str], dict[str, str]]:
    dictionary: list[str] = []
    encodings: dict[str, str] = {}
    head = sample.slice(0, SAMPLE_ROWS)
    for field, column in zip(head.schema, head.columns, strict=True):
        if pa.types.is_string(field.type):
            dictionary.append(field.name)
        elif pa.types.is_float64(field.type):
            if _repeats(column, is_wide=len(head.schema) > MANY_COLUMNS):
                dictionary.append(field.name)
            else:
                encodings[field.name] = "PLAIN"
        elif not pa.types.is_boolean(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
    return dictionary, encodings


def _repeats(column: pa.ChunkedArray, *, is_wide: bool) -> bool:
    """True if at most every second value of a column of numbers is a new one.

    Args:
        column: the numbers.
        is_wide: there are so many columns that a few values are looked at first, where nearly
            all of them differ: those of the beginning and the end, for values may go in circles.
    """
    rows = len(column)
    if is_wide and rows > 4 * FEW_VALUES and not column.null_count:
        ends = [column.slice(0, FEW_VALUES), column.slice(rows - FEW_VALUES)]
        few = pa.chunked_array([chunk for end in ends for chunk in end.chunks])
        if _count_distinct(few) * 20 > len(few) * 19:
            return False
    values = rows - column.null_count
    return bool(values) and _count_distinct(column) * 2 <= values


def _count_distinct(column: pa.ChunkedArray) -> int:
    if len(column) <= SHORT_SAMPLE:  # functions of Arrow are slow to import
        return len({value for value in column.to_pylist() if value is not None})
    from expman.storage.computing import call_function

    count: int = call_function("count_distinct", [column]).as_py()  # null does not count
    return count
