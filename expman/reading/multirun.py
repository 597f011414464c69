"""Rows of many runs in one table, even if their columns differ."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from expman.errors import ConfigError
from expman.reading.catalog_rows import RowsOfRuns, compacted_rows
from expman.reading.columns import FIXED, no_such_column, stack, wider
from expman.reading.plain_arrays import int_array
from expman.reading.run import Run
from expman.reading.runcolumns import run_table
from expman.reading.vectors import Steps, read_vectors
from expman.storage.columns import columns_metadata

__all__ = [
    "RUN_COLUMNS",
    "all_rows",
    "beside_labels",
    "by_metric",
    "chosen_columns",
    "columns_together",
    "common_columns",
    "ids_last",
    "stored_names",
    "vectors",
    "with_facts",
]

_READERS = 8
_SEARCHED = 20
"""Runs whose metrics are named where a column is missing; reading all might take long."""
RUN_COLUMNS = ("experiment", "run")


def vectors(
    runs: Iterable[Run | str | os.PathLike[str]],
    columns: Sequence[str] | None = None,
    *,
    run_columns: Sequence[str] | Mapping[str, str] = RUN_COLUMNS,
    steps: Steps | None = None,
    merge_steps: bool = False,
    last: int | None = None,
) -> pa.Table:
    """Rows of several runs, one run after the other, with columns that identify the run.

    Runs may have different metrics: a cell is null if its run does not have the metric. A metric
    that is a number in one run and text in another gets two columns, of which the second is
    called `<metric>__text`. Number columns have the widest type that a run needs.

    Args:
        runs: runs, or their directories.
        columns: the metrics to read; `step`, `timestamp`, `_producer` and `_seq` may be among
            them. Step, timestamp and all metrics if left out.
        run_columns: the columns that come first: `experiment`, `run`, or another column of
            `RunList.table`, such as `status`, `loss:min` or `params.lr`. A mapping renames
            them.
        steps: as in Run.vectors, in each run.
        merge_steps: as in Run.vectors, in each run.
        last: as in Run.vectors, in each run.

    Raises:
        ConfigError: no run has such a column, or a run column has the name of a metric.
        StorageError: a file cannot be read.
    """
    several = [run if isinstance(run, Run) else Run(run) for run in runs]
    labels = dict(run_columns) if isinstance(run_columns, Mapping) else {k: k for k in run_columns}

    types, tables, counts = _gathered(several, columns, steps, merge_steps, last)
    if columns is not None:
        types = chosen_columns(types, columns, several)
    taken = [label for label in labels.values() if label in types]
    if taken:
        example = {taken[0]: f"which_{taken[0]}"}
        rule = f"a metric has this name, too; rename the column with a mapping, such as {example}"
        raise ConfigError("run_columns", taken, rule)
    rows = stack(tables, types) if types else pa.table({})
    return with_facts(rows, several, counts, labels)


def all_rows(
    runs: Sequence[Run],
    columns: Sequence[str] | None,
    labels: Sequence[str] = RUN_COLUMNS,
    *,
    with_ids: bool = False,
) -> pa.Table:
    """Rows of several runs, with the columns that are there; a column may be in none of them.

    A metric that is called `experiment` or `run` becomes `experiment__metric` or `run__metric`.

    Args:
        runs: the runs.
        columns: as in `vectors`.
        labels: those of `experiment` and `run` that are wanted.
        with_ids: `_producer` and `_seq` are the last ones of all columns.

    Raises:
        StorageError: a file cannot be read.
    """
    types, tables, counts = _gathered(runs, columns, None, False, None, with_ids=with_ids)
    types = ids_last(types) if columns is None else chosen_columns(types, columns, ())
    rows = stack(tables, types) if types else pa.table({})
    rows = rows.rename_columns(beside_labels(rows.column_names))
    return with_facts(rows, runs, counts, {one: one for one in labels})


def ids_last(types: dict[str, pa.DataType]) -> dict[str, pa.DataType]:
    """Returns the columns with those behind the others that identify a row."""
    return dict(sorted(types.items(), key=lambda column: column[0] in ("_producer", "_seq")))


def beside_labels(names: Iterable[str]) -> list[str]:
    """Returns what columns of rows are called beside those of `experiment` and `run`."""
    return [name + "__metric" if name in RUN_COLUMNS else name for name in names]


def columns_together(
    schemas: Iterable[pa.Schema], columns: Sequence[str] | None
) -> dict[str, pa.DataType]:
    """Returns the columns that the rows of several runs have together, and their types.

    Args:
        schemas: of each run what `stored_columns` returns; one that was there may be left out.
        columns: as in `vectors`; those that no run has are left out.
    """
    types, _ = _common([by_metric(schema.empty_table()) for schema in schemas])
    if columns is None:
        return {name: kind for name, kind in types.items() if name not in ("_producer", "_seq")}
    return chosen_columns(types, columns, ())


def _gathered(
    several: Sequence[Run],
    columns: Sequence[str] | None,
    steps: Steps | None,
    merge_steps: bool,
    last: int | None,
    *,
    with_ids: bool = False,
) -> tuple[dict[str, pa.DataType], list[pa.Table], list[int]]:
    """Reads the rows; returns types of all columns, tables, and how many rows each run has."""
    wanted = stored_names(columns)

    def read(run: Run) -> pa.Table:
        return read_vectors(
            run.path,
            wanted,
            steps=steps,
            merge_steps=merge_steps,
            last=last,
            lenient=True,
            with_ids=with_ids,
        )

    together: dict[int, RowsOfRuns] = {}
    covered: set[int] = set()
    if not merge_steps and (steps is None or last is None):
        together, covered = compacted_rows(
            several, wanted, last=last, steps=steps, with_ids=with_ids
        )
    apart = [number for number in range(len(several)) if number not in covered]
    with ThreadPoolExecutor(_READERS) as pool:
        for number, table in zip(apart, pool.map(lambda n: read(several[n]), apart), strict=True):
            together[number] = RowsOfRuns(table, [table.num_rows])
    pieces = [together[number] for number in sorted(together)]
    types, tables = _common([by_metric(piece.table) for piece in pieces])
    counts = [count for piece in pieces for count in piece.counts]
    return types, tables, counts


def stored_names(columns: Sequence[str] | None) -> list[str] | None:
    """Returns the columns that files may have of metrics; None for all."""
    if columns is None:
        return None
    return [name + suffix for name in columns for suffix in ("", "__text", "__num")]


def by_metric(table: pa.Table) -> pa.Table:
    """Renames columns: numbers of a metric become `metric`, its texts `metric__text`."""
    metric_of = columns_metadata(table.schema.metadata)
    names = []
    for field in table.schema:
        metric = metric_of.get(field.name, field.name)
        names.append(metric + "__text" if _is_text(field) else metric)
    if len(set(names)) < len(names):  # a metric's own name ends in __text: leave all as it was
        names = table.column_names
    return table.rename_columns(names).replace_schema_metadata(None)


def _is_text(field: pa.Field) -> bool:
    is_text = pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    return is_text and field.name not in FIXED


def _common(tables: list[pa.Table]) -> tuple[dict[str, pa.DataType], list[pa.Table]]:
    """Finds the columns of all tables; text has the metric's name if no run has numbers there."""
    types, plain = common_columns(table.schema for table in tables)
    renamed = [
        table.rename_columns([plain.get(name, name) for name in table.column_names])
        for table in tables
    ]
    return types, renamed


def common_columns(schemas: Iterable[pa.Schema]) -> tuple[dict[str, pa.DataType], dict[str, str]]:
    """Returns the columns of all tables, and the names of those that are called otherwise then."""
    types: dict[str, pa.DataType] = {}
    for schema in schemas:
        for field in schema:
            types[field.name] = wider(types.get(field.name), field.type)
    plain = {
        name: name.removesuffix("__text")
        for name in types
        if name.endswith("__text") and name.removesuffix("__text") not in types
    }
    return {plain.get(name, name): kind for name, kind in types.items()}, plain


def chosen_columns(
    types: dict[str, pa.DataType], columns: Sequence[str], runs: Sequence[Run]
) -> dict[str, pa.DataType]:
    """Returns the types of the columns that are wanted; checks them if there are runs to name."""
    chosen: dict[str, pa.DataType] = {}
    missing = []
    for name in columns:
        found = [key for key in (name, name + "__text") if key in types]
        if name in FIXED:
            found = [name]
        if not found:
            missing.append(name)
        chosen.update((key, types.get(key, FIXED.get(key))) for key in found)
    if missing and runs:
        known = list(dict.fromkeys(name for run in runs[:_SEARCHED] for name in run.metrics))
        several = f"none of {len(runs)} runs has a column"
        fails = several if len(runs) > 1 else "the run has no column"
        raise no_such_column(fails, missing, known)
    return chosen


def with_facts(
    rows: pa.Table, runs: Sequence[Run], counts: Sequence[int], labels: Mapping[str, str]
) -> pa.Table:
    """Puts columns in front of rows that say which run they are of."""
    with_rows = [number for number, count in enumerate(counts) if count]
    if with_rows:
        ends = int_array(list(itertools.accumulate(filter(None, counts))))
        numbers = pa.RunEndEncodedArray.from_arrays(ends, int_array(with_rows).cast(pa.int32()))
        indices = pc.run_end_decode(numbers)
    else:
        indices = int_array([]).cast(pa.int32())
    arrays, names = [], []
    facts = run_table(runs, list(labels))
    for fact, label in labels.items():
        values = facts[fact].combine_chunks()
        if pa.types.is_string(values.type):
            unique = values.dictionary_encode()
            array = pa.DictionaryArray.from_arrays(unique.indices.take(indices), unique.dictionary)
        else:
            array = values.take(indices)
        arrays.append(array)
        names.append(label)
    return pa.table([*arrays, *rows.columns], names=[*names, *rows.column_names])
