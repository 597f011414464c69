"""Takes rows out of a run's history: those of earlier attempts from a step on.

vectors.parquet always holds the present line of a run, so every reader sees it. Superseded rows
move to a file of their own, whose number is in the footer of vectors.parquet. That footer decides:
a file with a greater number belongs to a move that was not completed, and is written again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from expman.failpoints import hit
from expman.storage.arrowfile import open_arrow
from expman.storage.columns import Columns
from expman.storage.contents import Contents
from expman.storage.directory import RunDirectory
from expman.storage.paths import (
    VECTORS_PARQUET,
    create_temp,
    storage_error,
    superseded_name,
)
from expman.storage.resume import resume
from expman.storage.rewrite import footer_of, open_writer

__all__ = ["supersede"]


def supersede(run_dir: str, from_step: int) -> int:
    """Moves the rows with this step or a later one out of vectors.parquet.

    Rows without a step stay. All rows of the run must be in vectors.parquet, none in a live tail.

    Args:
        run_dir: the run's directory.
        from_step: the first step of the rows that move.

    Returns:
        How many were moved.

    Durability: durable when it returns. Killed at any point, each row is in the history or in a
    file of superseded rows, and a repetition completes the move.

    Raises:
        StorageError: the history is as before, or the move may not be durable; call it again.
    """
    path = os.path.join(run_dir, VECTORS_PARQUET)
    directory = RunDirectory(run_dir)
    try:
        directory.ensure()
        contents = resume(run_dir, Columns(), lambda *_: None).contents
        return _supersede(directory, path, contents, from_step) if os.path.lexists(path) else 0
    except (OSError, pa.ArrowException) as exc:
        raise storage_error(str(getattr(exc, "filename", None) or path), exc) from exc
    finally:
        directory.close()


def _supersede(directory: RunDirectory, path: str, contents: Contents, from_step: int) -> int:
    with open_arrow(path) as source, pq.ParquetFile(source, pre_buffer=False) as file:
        if not any(pc.any(_is_later(part, from_step)).as_py() for part in _groups(file, ["step"])):
            return 0
        schema, columns, left = file.schema_arrow, Columns(), Contents()
        columns.adopt(schema)
        left.lanes = contents.lanes
        number = contents.superseded[0] + 1
        with _Output(directory.path, schema) as kept, _Output(directory.path, schema) as moved:
            for table in _groups(file):
                is_later = _is_later(table, from_step)
                moved.write(table.filter(is_later))
                rest = table.filter(pc.invert(is_later))
                kept.write(rest)
                for batch in rest.to_batches():
                    left.add_batch(batch, columns)
            left.superseded = (number, contents.superseded[1] + moved.rows)
            moved.finish({})
            kept.finish(left.footer(kept.rows))
            hit("supersede-before-rename")
            directory.rename(os.path.basename(moved.path), superseded_name(number))
            directory.sync()  # never the history without the file that has what left it
            hit("supersede-between")
            directory.rename(os.path.basename(kept.path), os.path.basename(path))
            directory.sync()
        return moved.rows


class _Output:
    """A new Parquet file under a temporary name, removed unless it gets another one."""

    def __init__(self, directory: str, schema: pa.Schema) -> None:
        self.rows = 0
        self._schema = schema
        self._fd, self.path = create_temp(directory)
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> _Output:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
        os.close(self._fd)
        with contextlib.suppress(OSError):  # it has its name
            os.unlink(self.path)

    def write(self, table: pa.Table) -> None:
        """Adds rows."""
        if table.num_rows:
            self._open(table).write_table(table)
            self.rows += table.num_rows

    def finish(self, footer: Mapping[str, str]) -> None:
        """Makes the file durable, with a footer."""
        writer = self._open(self._schema.empty_table())
        writer.add_key_value_metadata({**footer, **footer_of(self._schema)})
        writer.close()
        self._writer = None
        os.fsync(self._fd)

    def _open(self, sample: pa.Table) -> pq.ParquetWriter:
        if self._writer is None:
            self._writer = open_writer(self.path, self._schema, sample)
        return self._writer


def _groups(file: pq.ParquetFile, columns: list[str] | None = None) -> Iterator[pa.Table]:
    for number in range(file.num_row_groups):
        yield file.read_row_group(number, columns=columns)


def _is_later(table: pa.Table, from_step: int) -> pa.ChunkedArray:
    """A mask: the row has this step or a later one."""
    return pc.fill_null(pc.greater_equal(table["step"], from_step), False)
