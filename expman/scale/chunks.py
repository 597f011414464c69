"""Rows of very many runs, some runs at a time: the columns of all of them come first.

No engine is needed here: `columns_of` and `rows_of` are what one does with a chunk.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from expman.reading.find import runs
from expman.reading.multirun import RUN_COLUMNS, all_rows, beside_labels, columns_together
from expman.reading.run import Run
from expman.reading.vectors import stored_columns

__all__ = ["Chunk", "chunks_of", "columns_of", "fitting", "rows_of"]

CHUNK_RUNS = 200


class Chunk(NamedTuple):
    """Some runs.

    Attributes:
        base_dir: directory that holds all experiments, or the URL of a copy of it.
        token: the same for all chunks that were made at once.
        names: experiment and name of each run.
    """

    base_dir: str
    token: str
    names: list[tuple[str, str]]


def chunks_of(
    base_dir: str | os.PathLike[str], size: int = CHUNK_RUNS, **filters: Any
) -> list[Chunk]:
    """Cuts the runs of a base directory, or of the URL of a copy, into chunks.

    Args:
        base_dir: where they are; a directory has this path on every host.
        size: runs of a chunk.
        filters: those of `expman.runs`.

    Raises:
        StorageError: the base directory does not exist.
    """
    base = os.fspath(base_dir)
    base = base if "://" in base else os.path.abspath(base)
    names = [(run.experiment, run.name) for run in runs(base, **filters)]
    token = os.urandom(8).hex()
    parts = (names[first : first + size] for first in range(0, len(names), size))
    return [Chunk(base, token, part) for part in parts]


@functools.lru_cache(maxsize=1)
def _found(base_dir: str, token: str) -> dict[tuple[str, str], Run]:
    """The runs as the catalog has them; a process looks once for all its chunks."""
    return {(run.experiment, run.name): run for run in runs(base_dir)}


def _runs_of(chunk: Chunk) -> list[Run]:
    """The runs of a chunk; those that are gone are left out."""
    known = _found(chunk.base_dir, chunk.token)
    return [known[name] for name in chunk.names if name in known]


def columns_of(chunk: Chunk) -> list[pa.Schema]:
    """Returns the schemas of the rows of the runs, each distinct one once.

    Raises:
        StorageError: a file cannot be read.
    """
    schemas = {schema.serialize().to_pybytes(): schema for schema in _schemas(chunk)}
    return list(schemas.values())


def _schemas(chunk: Chunk) -> Iterable[pa.Schema]:
    return (stored_columns(run.path) for run in _runs_of(chunk))


def fitting(schemas: Iterable[pa.Schema], columns: Sequence[str] | None) -> pa.Schema:
    """Returns the columns of the rows of all runs, as `expman.vectors` has them.

    Args:
        schemas: what `columns_of` returns for the chunks, in order.
        columns: as in `expman.vectors`.
    """
    types = columns_together(schemas, columns)
    rest = zip(beside_labels(types), types.values(), strict=True)
    return pa.schema([*((name, pa.string()) for name in RUN_COLUMNS), *rest])


def rows_of(chunk: Chunk, columns: Sequence[str] | None, schema: pa.Schema) -> pa.Table:
    """Reads the rows of a chunk, with the columns of all of them.

    Args:
        chunk: some of the runs.
        columns: as in `expman.vectors`.
        schema: what `fitting` returns for all of them.

    Raises:
        StorageError: a file cannot be read.
    """
    table = all_rows(_runs_of(chunk), columns)
    return pa.table([_column(table, field) for field in schema], schema=schema)


def _column(table: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    """A column with the type that it has in all runs together, where text has another name."""
    is_text = pa.types.is_string(field.type)
    for name in (field.name, field.name.removesuffix("__text")):
        if name in table.column_names:
            found = table[name]
            if pa.types.is_dictionary(found.type) or pa.types.is_string(found.type) == is_text:
                return found.cast(field.type, safe=False)  # as in `stack`
    return pa.nulls(table.num_rows, field.type)
