"""The tables that SQL sees: what is known of runs, their rows, samples of the machine, media."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from expman.errors import ExpmanError, StorageError
from expman.reading.columns import FIXED, stack, wider
from expman.reading.fields import FACTS, PARAMS, SCALARS, SUFFIXES, RunFields, known_values
from expman.reading.kinds import KINDS
from expman.reading.multirun import RUN_COLUMNS, all_rows
from expman.reading.plain_arrays import float_array, text_array
from expman.reading.row_stream import RowStream
from expman.reading.run import Run
from expman.reading.runcolumns import column_array
from expman.reading.sql import distinct_names
from expman.reading.vectors import metric_names, read_vectors
from expman.storage.paths import SYSTEM

__all__ = ["TABLES", "Wanted", "known_names"]

_TEXT, _NUMBER = pa.string(), pa.float64()
_SEARCHED = 20
_MANY = 100
"""Of more runs, rows are a stream where a catalog has most of them."""
_CASE = re.compile(r"__case\d+$")


class Wanted:
    """What a query names.

    Args:
        sql: the query.
        names: the columns that it names; None if it may need all.
    """

    def __init__(self, sql: str, names: frozenset[str] | None) -> None:
        self._mentioned = frozenset(re.findall(r"\w+", sql.lower()))
        # The columns that such a name distinguishes can only be found together.
        if names is not None and any(_CASE.search(name) for name in names):
            names = None
        self.names = names

    def table(self, name: str) -> bool:
        """Whether the query may need a table."""
        return name in self._mentioned

    def among(self, known: Iterable[str]) -> list[str]:
        """Returns the names that the query may need, each once."""
        names = dict.fromkeys(known)
        if self.names is None:
            return list(names)
        lower = set(map(str.lower, self.names))
        return [name for name in names if name.lower() in lower]


def known_names(runs: Sequence[Run]) -> list[str]:
    """Returns names of columns that a query could mean, of the first runs."""
    found = dict.fromkeys([*FACTS, *FIXED])
    for run in runs[:_SEARCHED]:
        found |= dict.fromkeys(_field_names(run, SUFFIXES))
        found |= dict.fromkeys(_metric_names(run))
    return list(found)


def _field_names(run: Run, suffixes: Iterable[str]) -> Iterator[str]:
    """The columns of a run's parameters, scalars and metrics."""
    fields = RunFields(run)
    try:
        yield from (PARAMS + key for key in fields.params())
        yield from (SCALARS + key for key in run.scalars)
        yield from (f"{key}:{suffix}" for key in fields.metrics() for suffix in suffixes)
    except ExpmanError:
        return


def _metric_names(run: Run) -> Iterable[str]:
    try:
        return run.metrics
    except ExpmanError:
        return []


def _is_field(name: str) -> bool:
    return name.startswith((PARAMS, SCALARS)) or name.rpartition(":")[2] in SUFFIXES


def _runs(runs: Sequence[Run], wanted: Wanted) -> pa.Table:
    facts = wanted.among(name for name in FACTS if name != "tags")
    if wanted.names is None:
        fields = [name for run in runs for name in _field_names(run, KINDS)]
    else:
        fields = sorted(filter(_is_field, wanted.names))
    names = list(dict.fromkeys(["experiment", "run", *facts, *fields]))
    tags = wanted.among(["tags"])
    lines = list(known_values(runs, [*names, *tags]))
    columns = [[line[place] for line in lines] for place in range(len(names))]
    table = pa.table(dict(zip(names, map(column_array, columns), strict=True)))
    # A column that no run has is a mistake, which DuckDB reports.
    empty = [name for name in fields if name in table.column_names and _is_empty(table[name])]
    table = table.drop_columns(list(dict.fromkeys(empty)))
    if tags:
        lists = pa.array([line[-1] for line in lines], pa.list_(_TEXT))
        table = table.append_column("tags", lists)
    return distinct_names(table)


def _is_empty(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count == len(column))


def _long(find: Callable[[Run], dict[str, object]]) -> Callable[[Sequence[Run], Wanted], pa.Table]:
    """Makes a table with one line per name of each run, with its value as text and as a number."""

    def make(runs: Sequence[Run], wanted: Wanted) -> pa.Table:
        lines = []
        for run in runs:
            try:
                found = find(run).items()
            except ExpmanError:
                continue
            lines += [(run.experiment, run.name, name, value) for name, value in found]
        values = [value for *_, value in lines]
        numbers = [
            float(value) if isinstance(value, int | float) and not _is_large(value) else None
            for value in values
        ]
        texts = [None if value is None else str(value) for value in values]
        columns = [[line[place] for line in lines] for place in range(3)]
        return pa.table(
            {
                **{
                    title: text_array([str(value) for value in column])
                    for title, column in zip(("experiment", "run", "name"), columns, strict=True)
                },
                "value": text_array(texts),
                "number": float_array(numbers),
            }
        )

    return make


def _is_large(value: float) -> bool:
    return isinstance(value, int) and abs(value) > 1 << 1000


def _params(run: Run) -> dict[str, object]:
    fields = RunFields(run)
    return {name: fields.value(PARAMS + name) for name in fields.params()}


def _scalars(run: Run) -> dict[str, object]:
    return dict(run.scalars)


def _metrics(runs: Sequence[Run], wanted: Wanted) -> pa.Table:
    lines: list[list[object]] = []
    for run in runs:
        try:
            found = run.best_numbers().items()
        except ExpmanError:
            continue
        lines += [
            [run.experiment, run.name, name, *(getattr(best, suffix, None) for suffix in SUFFIXES)]
            for name, best in found
        ]
    titles = ("experiment", "run", "metric", *SUFFIXES)
    types = [_TEXT] * 3 + [pa.int64() if title.endswith("_step") else _NUMBER for title in SUFFIXES]
    columns = [[line[place] for line in lines] for place in range(len(titles))]
    arrays = [_typed(column, kind) for column, kind in zip(columns, types, strict=True)]
    return pa.table(arrays, names=list(titles))


def _typed(column: list[Any], kind: pa.DataType) -> pa.Array:
    if kind is _TEXT:
        return text_array(column)
    is_number = kind is _NUMBER  # a metric of integers is one of numbers here
    values = [float(value) if is_number and value is not None else value for value in column]
    return pa.array(values, kind)


def _rows(runs: Sequence[Run], wanted: Wanted) -> pa.Table | RowStream:
    columns = None
    if wanted.names is not None:
        columns = sorted({name.removesuffix("__text") for name in wanted.names}) or ["step"]
        columns = [name for name in columns if name not in RUN_COLUMNS] or ["step"]
    labels = wanted.among(RUN_COLUMNS)
    if len(runs) > _MANY:
        stream = RowStream(runs, columns, labels)
        if stream.is_worth_it:
            return stream
    try:
        found = all_rows(runs, columns, labels, with_ids=True)
    except StorageError:
        runs = [run for run in runs if _is_readable(run)]
        found = all_rows(runs, columns, labels, with_ids=True)
    if found.num_columns == len(labels):  # it would have no lines
        found = all_rows(runs, ["step"], labels)
    return distinct_names(found)


def _is_readable(run: Run) -> bool:
    try:
        run.vectors(["step"])
    except ExpmanError:
        return False
    return True


def _system(runs: Sequence[Run], wanted: Wanted) -> pa.Table:
    tables, owners = [], []
    for run in runs:
        try:
            known = ["step", "timestamp", *metric_names(run.path, SYSTEM)]
            table = read_vectors(run.path, wanted.among(known), stem=SYSTEM, lenient=True)
        except ExpmanError:
            continue
        if table.num_rows:
            tables.append(table)
            owners.append((run, table.num_rows))
    types: dict[str, pa.DataType] = {}
    for table in tables:
        for field in table.schema:
            types[field.name] = wider(types.get(field.name), field.type)
    found = stack(tables, types) if types else None
    names_of = {
        "experiment": text_array([r.experiment for r, count in owners for _ in range(count)]),
        "run": text_array([r.name for r, count in owners for _ in range(count)]),
    }
    rest = {} if found is None else dict(zip(found.column_names, found.columns, strict=True))
    return distinct_names(pa.table({**names_of, **rest}))


_MEDIA = ("experiment", "run", "tag", "step", "kind", "file", "bytes", "logged_at", "producer")


def _media(runs: Sequence[Run], wanted: Wanted) -> pa.Table:
    lines: list[tuple[object, ...]] = []
    for run in runs:
        try:
            found = run.media()
        except ExpmanError:
            continue
        for item in found:
            own = (getattr(item, name) for name in _MEDIA[2:])
            lines.append((run.experiment, run.name, *own))
    columns = [[line[place] for line in lines] for place in range(len(_MEDIA))]
    return pa.table(dict(zip(_MEDIA, map(column_array, columns), strict=True)))


TABLES: dict[str, Callable[[Sequence[Run], Wanted], pa.Table | RowStream]] = {
    "runs": _runs,
    "rows": _rows,
    "metrics": _metrics,
    "params": _long(_params),
    "scalars": _long(_scalars),
    "system": _system,
    "media": _media,
}
"""The function that makes each table."""
