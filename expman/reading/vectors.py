"""Reader of a run's rows from vectors.parquet and the live tail: every written row, once.

The tail is read before vectors.parquet is opened. A row leaves the tail only after vectors.parquet
has it, so no row can be missed. Rows that are in both are known from the Parquet footer, which
records how far each producer's rows are in the file.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from expman.errors import ConfigError
from expman.reading.columns import FIXED, no_such_column, stack, wider
from expman.reading.parquetfile import VectorsParquet, keep_after
from expman.reading.rows import python_rows
from expman.reading.tailfiles import read_whole, tail_paths
from expman.storage.columns import COLUMNS_KEY, PRODUCER_COLUMNS, columns_metadata
from expman.storage.paths import VECTORS

__all__ = [
    "Steps",
    "columns_of",
    "metric_names",
    "new_rows",
    "read_parts",
    "read_vectors",
    "shaped",
    "step_mask",
    "stored_columns",
    "stored_rows",
]

Steps = range | slice | int | Collection[int]
_ROW_ID = ("_producer", "_seq")


class _Parts:
    """Tables of a run's files, and the columns that they have together."""

    def __init__(self) -> None:
        self.tables: list[pa.Table] = []
        self.types: dict[str, pa.DataType] = {}
        self.metric_of: dict[str, str] = {}

    def note(self, schema: pa.Schema) -> None:
        """Adds the columns of a file; a later file has the same type or a wider one."""
        for field in schema:
            self.types[field.name] = wider(self.types.get(field.name), field.type)
        self.metric_of.update(columns_metadata(schema.metadata))

    @property
    def of_producers(self) -> list[str]:
        """The fixed columns that some files have."""
        return [name for name in PRODUCER_COLUMNS if name in self.types]

    @property
    def metrics(self) -> list[str]:
        return [name for name in self.types if name not in FIXED]


def metric_names(run_dir: str, stem: str = VECTORS) -> list[str]:
    """Returns the metric columns that the files of a run have now."""
    return _read(run_dir, frozenset(), None, None, stem).metrics


def columns_of(run_dir: str, metrics: Collection[str]) -> list[str]:
    """Returns the columns of some metrics: one or two of each, none of one that is not there."""
    parts = _read(run_dir, frozenset(), None, None)
    return [name for name in parts.metrics if parts.metric_of.get(name, name) in metrics]


def read_parts(run_dir: str, stem: str = VECTORS) -> list[pa.Table]:
    """Reads the rows of a run's table: one table per file, with that file's columns.

    Raises:
        StorageError: a file cannot be read.
    """
    return _read(run_dir, None, None, None, stem).tables


def read_vectors(
    run_dir: str,
    columns: Sequence[str] | None = None,
    *,
    steps: Steps | None = None,
    merge_steps: bool = False,
    last: int | None = None,
    lenient: bool = False,
    with_ids: bool = False,
    stem: str = VECTORS,
) -> pa.Table:
    """Reads the rows of a run; see Run.vectors.

    Args:
        run_dir: the run's directory.
        columns: as in Run.vectors.
        steps: as in Run.vectors.
        merge_steps: as in Run.vectors.
        last: as in Run.vectors.
        lenient: leave out columns that the run does not have, instead of raising.
        with_ids: `_producer` and `_seq` are among all columns, if none are named.
        stem: of the table's files.

    Raises:
        ConfigError: the run has no such column.
        StorageError: a file cannot be read.
    """
    if last is not None and last < 0:
        raise ConfigError("last", last, "must not be negative")
    wanted = None if columns is None else frozenset(columns)
    needed = wanted
    if wanted is not None and (steps is not None or merge_steps):
        needed = wanted | {"step"}
    fast_last = None if steps is not None or merge_steps else last
    parts = _read(run_dir, needed, steps, fast_last, stem)
    if columns is None:
        ids = _ROW_ID if with_ids else ()
        columns = ["step", "timestamp", *parts.of_producers, *parts.metrics, *ids]
    else:
        missing = [name for name in columns if name not in parts.types and name not in FIXED]
        if missing and not lenient:
            raise no_such_column(f"run {run_dir} has no column", missing, parts.metrics)
        columns = [name for name in columns if name not in missing]
    types = {
        name: parts.types.get(name, FIXED.get(name))
        for name in (*columns, *(["step"] if needed is not wanted else []))
    }
    table = stack(parts.tables, types)
    table = shaped(table, steps=steps, merge_steps=merge_steps, last=last)
    renamed = {name: parts.metric_of[name] for name in columns if name in parts.metric_of}
    metadata = {COLUMNS_KEY: json.dumps(renamed).encode()} if renamed else None
    return table.select(list(columns)).replace_schema_metadata(metadata)


def shaped(
    table: pa.Table, *, steps: Steps | None, merge_steps: bool, last: int | None
) -> pa.Table:
    """Applies arguments of Run.vectors to all rows of a run; the first two need the column step."""
    if steps is not None:
        table = table.filter(step_mask(table["step"], steps))
    if merge_steps:
        table = _merge(table)
    if last is not None:
        table = table.slice(max(0, table.num_rows - last))
    return table


def stored_columns(run_dir: str) -> pa.Schema:
    """Returns all columns that the rows of a run have, with the metrics they belong to.

    Raises:
        StorageError: a file cannot be read.
    """
    return _schema(_read(run_dir, frozenset(), None, None))


def stored_rows(run_dir: str) -> pa.Table:
    """Returns all rows of a run with all their columns, those of `stored_columns`.

    Raises:
        StorageError: a file cannot be read.
    """
    parts = _read(run_dir, None, None, None)
    schema = _schema(parts)
    types = dict(zip(schema.names, schema.types, strict=True))
    return stack(parts.tables, types).replace_schema_metadata(schema.metadata)


def _schema(parts: _Parts) -> pa.Schema:
    names = ["step", "timestamp", *_ROW_ID, *parts.of_producers, *parts.metrics]
    renamed = {name: parts.metric_of[name] for name in parts.metrics if name in parts.metric_of}
    metadata = {COLUMNS_KEY: json.dumps(renamed).encode()} if renamed else None
    return pa.schema([(name, parts.types.get(name, FIXED.get(name))) for name in names], metadata)


def _read(
    run_dir: str,
    wanted: frozenset[str] | None,
    steps: Steps | None,
    last: int | None,
    stem: str = VECTORS,
) -> _Parts:
    """Reads the files. `steps` and `last` only skip row groups; the caller applies them to rows."""
    with_id = None if wanted is None else {*wanted, *_ROW_ID, "step", "timestamp"}
    tails = [found for path in tail_paths(run_dir, stem) if (found := read_whole(path, with_id))]
    parts = _Parts()
    parquet = VectorsParquet.open(run_dir, stem)
    if parquet is not None:
        with parquet:
            parts.note(parquet.schema)
            tables = new_rows([table for _, table in tails], parquet)
            groups = None
            if last is not None:
                groups = parquet.last_groups(last - sum(table.num_rows for table in tables))
            elif steps is not None:
                groups = parquet.groups_with("step", *_bounds(steps))
            parts.tables = [parquet.read(wanted, groups), *tables]
    else:
        parts.tables = [table for _, table in tails]
    for schema, _ in tails:
        parts.note(schema)
    return parts


def new_rows(tails: list[pa.Table], parquet: VectorsParquet) -> list[pa.Table]:
    """Returns the rows of the tail that are not in vectors.parquet."""
    if not tails:
        return []
    if parquet.lanes is not None:
        return [keep_after(table, parquet.lanes) for table in tails]
    # Rows of expman-rs have no numbers, but the same step and time in both files.
    known = python_rows(parquet.read({"step", "timestamp"}))
    seen = {(row["step"], row["timestamp"]) for row in known}
    fresh = []
    for table in tails:
        rows = python_rows(table.select(["step", "timestamp"]))
        keep = [(row["step"], row["timestamp"]) not in seen for row in rows]
        fresh.append(table.filter(pa.array(keep, pa.bool_())))
    return fresh


def _merge(table: pa.Table) -> pa.Table:
    """Merges rows of one step, latest values first choice; rows without a step come last."""
    has_step = pc.is_valid(table["step"])
    rest = table.filter(pc.invert(has_step))
    others = [name for name in table.column_names if name != "step"]
    merged = (
        table.filter(has_step)
        .group_by("step", use_threads=False)
        .aggregate([(name, "last") for name in others])
        .rename_columns({f"{name}_last": name for name in others} if others else {})
        .select(table.column_names)
        .sort_by("step")
    )
    return pa.concat_tables([merged.cast(table.schema), rest])


def _bounds(steps: Steps) -> tuple[int | None, int | None]:
    """Returns the least and the greatest wanted step; None where there is no bound."""
    match steps:
        case int():
            return steps, steps
        case slice():
            if steps.step not in (None, 1) and (steps.step < 1 or steps.start is None):
                raise ConfigError("steps", steps, "a slice with a stride needs a start")
            stop = None if steps.stop is None else steps.stop - 1
            return steps.start, stop
        case range():
            return (min(steps), max(steps)) if steps else (1, 0)
    values = list(steps)
    return (min(values), max(values)) if values else (1, 0)


def step_mask(step: pa.ChunkedArray, steps: Steps) -> pa.ChunkedArray:
    """Returns which steps of a column are wanted."""
    low, high = _bounds(steps)
    stride, start = 1, low or 0
    if isinstance(steps, range | slice):
        stride = abs(steps.step or 1)
    elif not isinstance(steps, int):
        return pc.is_in(step, value_set=pa.array(sorted(set(steps)), pa.int64()))
    mask = pc.is_valid(step)
    if low is not None:
        mask = pc.and_(mask, pc.fill_null(pc.greater_equal(step, low), False))
    if high is not None:
        mask = pc.and_(mask, pc.fill_null(pc.less_equal(step, high), False))
    if stride != 1:
        offset = pc.subtract(step, pa.scalar(start, pa.int64()))
        whole = pc.multiply(pc.divide(offset, pa.scalar(stride, pa.int64())), stride)
        mask = pc.and_(mask, pc.fill_null(pc.equal(offset, whole), False))
    return mask
