"""Rolls up rows over ranks: one row per step, with least, median and greatest of each metric.

Nothing here needs more of Arrow than its basic functions, so that it can run in a writer.
All is found by sorting: the rows of a step, in the order of their values, are a slice whose ends
and middle are wanted.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "MOST_METRICS",
    "PARTS",
    "TOOK",
    "RankStates",
    "WholeSteps",
    "join_rollups",
    "rank_states",
    "roll_up",
    "whole_steps",
]

STEP, RANK, TIME = "step", "_rank", "timestamp"
TOOK = "_took_s"
"""Seconds since the step before, as if it were a metric: of steps that all ranks have logged."""
MOST_METRICS = 200
PARTS = ("min", "min_rank", "median", "max", "max_rank")

RankStates = dict[int, tuple[int, int, int]]
"""Of each rank its last step, the time of its last row (microseconds since the epoch), its rows."""


WholeSteps = dict[int, tuple[int, int]]
"""Of each rank the last step that all ranks have logged, and when it logged it (microseconds)."""


def rank_states(rows: pa.Table) -> RankStates:
    """Returns where each rank stands.

    Args:
        rows: `step`, `_rank`, and `timestamp` as int64, in microseconds, without nulls.
    """
    found: RankStates = {}
    for rank in pc.unique(rows[RANK]).to_pylist():
        mine = rows.filter(pc.equal(rows[RANK], rank))
        found[rank] = pc.max(mine[STEP]).as_py(), pc.max(mine[TIME]).as_py(), mine.num_rows
    return found


def roll_up(rows: pa.Table, metrics: Sequence[str], took: pa.Table | None = None) -> pa.Table:
    """Returns one row per step, sorted by it.

    Values that are NaN or null do not count. Of equal values the one of the least rank is the
    least, and that of the greatest rank the greatest.

    Args:
        rows: `step` and `_rank`, without nulls, and the metrics.
        metrics: columns that are numbers.
        took: what `step_times` returns.

    Returns:
        `step`, `ranks` (how many ranks have logged it), and for each metric `METRIC:min`,
        `METRIC:min_rank`, `METRIC:median` (float64), `METRIC:max` and `METRIC:max_rank`; with
        `took`, those of `_took_s` come first.
    """
    rows = rows.combine_chunks()
    pairs = _sorted(rows.select([STEP, RANK]), STEP, RANK)
    pairs = pairs.filter(_is_last(pairs, STEP, RANK))
    steps, starts, ends = _runs(pairs[STEP])
    found: dict[str, pa.Array] = {STEP: steps, "ranks": pc.subtract(ends, starts)}
    sources = [] if took is None else [(TOOK, took)]
    for name, source in [*sources, *((metric, rows) for metric in metrics)]:
        values = source[name]
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int64())
        mine = pa.table({STEP: source[STEP], RANK: source[RANK], "value": values})
        for part, column in _ends(mine, steps).items():
            found[f"{name}:{part}"] = column
    return pa.table(found)


def _ends(mine: pa.Table, wanted: pa.Array) -> dict[str, pa.Array]:
    """Least, median and greatest value of each of the wanted steps."""
    mask = pc.is_valid(mine["value"])
    if pa.types.is_floating(mine["value"].type):
        mask = pc.and_(mask, pc.invert(pc.fill_null(pc.is_nan(mine["value"]), True)))
    mine = _sorted(mine.filter(mask), STEP, "value", RANK)
    steps, starts, ends = _runs(mine[STEP])
    value, rank = mine["value"].combine_chunks(), mine[RANK].combine_chunks()
    last = pc.subtract(ends, 1)
    # Of n values the middle ones are (n - 1) // 2 and n // 2.
    sums = pc.add(starts, ends)
    low, high = (value.take(pc.shift_right(one, 1)) for one in (pc.subtract(sums, 1), sums))
    ends_of_middle = (one.cast(pa.float64(), safe=False) for one in (low, high))
    middle = pc.divide(pc.add(*ends_of_middle), 2.0)
    columns = (value.take(starts), rank.take(starts), middle, value.take(last), rank.take(last))
    if len(steps) == len(wanted):
        return dict(zip(PARTS, columns, strict=True))
    place = pc.index_in(wanted, value_set=steps)
    return {part: one.take(place) for part, one in zip(PARTS, columns, strict=True)}


def whole_steps(
    rows: pa.Table, ranks: int, before: WholeSteps | None = None
) -> tuple[pa.Table, WholeSteps]:
    """How long each rank took for each step that all ranks have logged.

    Times of one rank are compared, for clocks of hosts may differ. Of several rows of a step the
    first one counts. A step that comes late has no duration, and changes none: a rank had logged
    a later step before it, as where an evaluation has low steps of its own.

    Args:
        rows: `step`, `_rank`, and `timestamp` as int64, in microseconds.
        ranks: how many there are.
        before: of each rank the last such step before these rows.

    Returns:
        `step`, `_rank`, `_took_s`; and what `before` is for the rows that follow.
    """
    at = _sorted(rows.select([STEP, RANK, TIME]).combine_chunks(), STEP, RANK, TIME)
    at = at.filter(_is_first(at, STEP, RANK))
    steps, starts, ends = _runs(at[STEP])
    whole = steps.filter(pc.equal(pc.subtract(ends, starts), ranks))
    at = _sorted(at.filter(pc.is_in(at[STEP], value_set=whole)), RANK, STEP)
    after = dict(before or {})
    found = [pa.table({STEP: at[STEP], RANK: at[RANK], TOOK: at[TIME].cast(pa.float64())})[:0]]
    names, begins, stops = _runs(at[RANK])
    for rank, begin, stop in zip(*(one.to_pylist() for one in (names, begins, stops)), strict=True):
        mine = _in_time(at.slice(begin, stop - begin), after.get(rank))
        if not mine.num_rows:
            continue
        times = mine[TIME].combine_chunks()
        known = after.get(rank)
        first = pa.array([None if known is None else known[1]], pa.int64())
        earlier = pa.concat_arrays([first, times.slice(0, len(times) - 1)])
        took = pc.divide(pc.subtract(times, earlier).cast(pa.float64()), 1e6)
        found.append(pa.table({STEP: mine[STEP], RANK: mine[RANK], TOOK: took}))
        after[rank] = mine[STEP][-1].as_py(), times[-1].as_py()
    return pa.concat_tables(found).combine_chunks(), after


def _in_time(mine: pa.Table, last: tuple[int, int] | None) -> pa.Table:
    """The rows of a rank, sorted by step, without those that came after a later step."""
    if last is not None:
        mine = mine.filter(pc.greater(mine[STEP], last[0]))
    if not mine.num_rows:
        return mine
    times = mine[TIME].combine_chunks()
    backwards = pa.array(range(len(times) - 1, -1, -1), pa.int64())
    earliest = pc.cumulative_min(times.take(backwards)).take(backwards)  # of it and all later ones
    return mine.filter(pc.less_equal(times, earliest))


def join_rollups(tables: Sequence[pa.Table], most_ranks: int | None = None) -> pa.Table:
    """Joins roll-ups of several nodes, or of several parts of a step, into one.

    The median is that of the medians, each of which counts as often as it has ranks.

    Args:
        tables: the roll-ups.
        most_ranks: how many ranks there are, if parts of a step may have some of them in common:
            all log a step of training, and later on one of validation with the same number.
    """
    if not tables:
        return pa.table({STEP: pa.array([], pa.int64()), "ranks": pa.array([], pa.int64())})
    every = _sorted(_concat(tables).combine_chunks(), STEP)
    steps, starts, ends = _runs(every[STEP])
    if len(steps) == every.num_rows:
        return every
    summed = pa.concat_arrays(
        [pa.array([0], pa.int64()), pc.cumulative_sum(every["ranks"]).combine_chunks()]
    )
    ranks = pc.subtract(summed.take(ends), summed.take(starts))
    if most_ranks is not None:
        ranks = pc.min_element_wise(ranks, most_ranks)
    found: dict[str, pa.Array] = {STEP: steps, "ranks": ranks}
    names = [name[:-4] for name in every.column_names if name.endswith(":min")]
    for name in names:
        low = _picked(every, steps, f"{name}:min", f"{name}:min_rank", -1)
        high = _picked(every, steps, f"{name}:max", f"{name}:max_rank", 1)
        middle = _median_of_medians(every, steps, f"{name}:median")
        for part, column in zip(PARTS, (*low, middle, *high), strict=True):
            found[f"{name}:{part}"] = column
    return pa.table(found)


def _concat(tables: Sequence[pa.Table]) -> pa.Table:
    """One table; of integers in one and floats in another, large ones lose digits."""
    schemas = [table.schema for table in tables]
    common = pa.unify_schemas(schemas, promote_options="permissive")
    wanted = [pa.schema([common.field(name) for name in schema.names]) for schema in schemas]
    pairs = zip(tables, wanted, strict=True)
    same = [table.cast(schema, safe=False) for table, schema in pairs]
    return pa.concat_tables(same, promote_options="default")


def _picked(
    every: pa.Table, wanted: pa.Array, name: str, rank: str, sign: int
) -> tuple[pa.Array, pa.Array]:
    known = every.filter(pc.is_valid(every[name]))
    known = _sorted(known.select([STEP, name, rank]), STEP, name, rank)
    steps, starts, ends = _runs(known[STEP])
    chosen = starts if sign < 0 else pc.subtract(ends, 1)
    place = pc.index_in(wanted, value_set=steps)
    value, whose = (known[one].combine_chunks().take(chosen).take(place) for one in (name, rank))
    return value, whose


def _median_of_medians(every: pa.Table, wanted: pa.Array, name: str) -> pa.Array:
    known = every.filter(pc.is_valid(every[name]))
    known = _sorted(known.select([STEP, name, "ranks"]), STEP, name)
    steps, starts, ends = _runs(known[STEP])
    value = known[name].combine_chunks()
    counted = pc.cumulative_sum(known["ranks"]).combine_chunks()
    below = pa.concat_arrays([pa.array([0], pa.int64()), counted])
    number = pc.index_in(known[STEP].combine_chunks(), value_set=steps)
    base, total = below.take(starts), below.take(ends)
    # So many values are at most this one; the half of all, from both sides, meets at the middle.
    twice = pc.multiply(pc.subtract(counted, base.take(number)), 2)
    whole = pc.subtract(total, base).take(number)
    rows = pa.array(range(len(value)), pa.int64())
    middles = []
    for mask in (pc.greater_equal(twice, whole), pc.greater(twice, whole)):
        reached = known[STEP].combine_chunks().filter(mask)
        _, first, _ = _runs(reached)
        middles.append(value.take(rows.filter(mask).take(first)))
    middle = pc.divide(pc.add(*middles), 2.0)
    return middle.take(pc.index_in(wanted, value_set=steps))


def _sorted(table: pa.Table, *keys: str) -> pa.Table:
    order = pc.sort_indices(table, sort_keys=[(key, "ascending") for key in keys])
    return table.take(order)


def _runs(values: pa.Array | pa.ChunkedArray) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Each of the values that stand side by side, with its first place and that behind its last."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    encoded = pc.run_end_encode(values, run_end_type=pa.int64())
    ends = encoded.run_ends
    starts = pa.concat_arrays([pa.array([0], pa.int64()), ends])[: len(ends)]
    return encoded.values, starts, ends


def _is_last(table: pa.Table, *keys: str) -> pa.Array:
    """Whether each row is the last of those with the same keys, which stand side by side."""
    count = table.num_rows
    if not count:
        return pa.array([], pa.bool_())
    differs = pa.array([False] * (count - 1), pa.bool_())
    for key in keys:
        column = table[key].combine_chunks()
        differs = pc.or_(differs, pc.not_equal(column.slice(1), column.slice(0, count - 1)))
    return pa.concat_arrays([differs, pa.array([True])])


def _is_first(table: pa.Table, *keys: str) -> pa.Array:
    """Whether each row is the first of those with the same keys, which stand side by side."""
    is_last = _is_last(table, *keys)
    return pa.concat_arrays([pa.array([True]), is_last])[: len(is_last)]
