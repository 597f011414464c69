"""One job over many ranks: what each step was like over all of them, and who is behind.

The ranks of a job log into one run, or each into a run of its own, with the group in common. Only
the last steps are read.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from expman.errors import ConfigError, ExpmanError
from expman.models import RunStatus
from expman.reading.columns import stack, wider
from expman.reading.find import runs
from expman.reading.run import Run
from expman.reading.stored_rollup import RollUp, read_rollup
from expman.reading.vectors import metric_names, read_vectors
from expman.storage.rank_rollup import (
    PARTS,
    TOOK,
    join_rollups,
    rank_states,
    roll_up,
    whole_steps,
)

__all__ = ["Ranks", "over_ranks", "ranks_of", "sibling_runs"]

LAST_STEPS = 200
_OFTEN = 0.5
"""A rank is called the slowest if it was the last one in a greater share of the steps."""
_LATE_S = 0.001
_RANK, _STEP, _TIME = "_rank", "step", "timestamp"


class Ranks(NamedTuple):
    """The ranks of a job, as far as they have logged.

    Attributes:
        steps: rank to its last step.
        last_at: rank to the time of its last row, in seconds since the epoch.
        slowest: the rank that was the last one in most of the last steps; None if none was.
        slowest_share: in which share of them.
        slowest_s: by how many seconds it was later than the median, in the median of the steps.
    """

    steps: dict[int, int]
    last_at: dict[int, float]
    slowest: int | None
    slowest_share: float
    slowest_s: float

    def sentences(self) -> list[str]:
        """A sentence about the slowest rank, if there is one."""
        if self.slowest is None:
            return []
        return [
            f"rank {self.slowest} is the slowest: the last one in {self.slowest_share:.0%} of "
            f"the steps, {self.slowest_s:.3g} s after the median"
        ]


def ranks_of(run: Run) -> Ranks:
    """Looks at the last steps of all ranks of a run's job.

    Ranks that wait for each other in each step log at the same time, whoever is slow: then only one
    that stands still is behind. Clocks of several hosts may differ: what is constant does not
    count.

    Raises:
        StorageError: a file cannot be read.
    """
    states, table = _rolled_up(run, [], LAST_STEPS)
    steps = {rank: step for rank, (step, _, _) in states.items()}
    last_at = {rank: at / 1e6 for rank, (_, at, _) in states.items()}
    return Ranks(steps, last_at, *_slowest(table, len(steps)))


def _slowest(table: pa.Table, count: int) -> tuple[int | None, float, float]:
    """Returns who took longest for most steps, in which share of them, and by how much."""
    late: dict[int, list[float]] = {}
    total = 0
    names = ["ranks", *(f"{TOOK}:{part}" for part in ("median", "max", "max_rank"))]
    for ranks, middle, most, rank in zip(*(table[name].to_pylist() for name in names), strict=True):
        if ranks == count > 1 and most is not None:
            total += 1
            late.setdefault(rank, []).append(most - middle)
    if not late:
        return None, 0.0, 0.0
    rank = max(late, key=lambda one: len(late[one]))
    share, seconds = len(late[rank]) / total, statistics.median(late[rank])
    if share <= _OFTEN or seconds < _LATE_S:
        return None, 0.0, 0.0
    return rank, share, seconds


def over_ranks(run: Run, metrics: Sequence[str], *, last: int | None = LAST_STEPS) -> pa.Table:
    """One row per step over all ranks of a run's job.

    Args:
        run: the run of any rank, or the run of all.
        metrics: metrics that are numbers.
        last: only so many steps, about, the newest ones; None for all.

    Returns:
        `step`, `ranks` (how many have logged it), and for each metric `METRIC:min`,
        `METRIC:min_rank`, `METRIC:median`, `METRIC:max` and `METRIC:max_rank`.

    Raises:
        ConfigError: no rank has such a metric of numbers.
        StorageError: a file cannot be read.
    """
    _, table = _rolled_up(run, metrics, last)
    missing = [metric for metric in metrics if f"{metric}:min" not in table.column_names]
    if missing:
        raise ConfigError("metrics", missing, "no rank has such a metric of numbers")
    columns = [f"{metric}:{part}" for metric in metrics for part in PARTS]
    return table.select(["step", "ranks", *columns])


def _rolled_up(run: Run, metrics: Sequence[str], last: int | None) -> RollUp:
    """Rolls up all ranks of a job: by what the writers have rolled up, else by the rows."""
    several = [run, *sibling_runs(run)]
    found: list[RollUp] = []
    left = []
    for one in several:
        # The rows of a single live run are newer than its roll-up, and as quick to read.
        is_useful = len(several) > 1 or one.status is not RunStatus.RUNNING
        rolled = read_rollup(one, metrics, last) if is_useful else None
        if rolled is None:
            left.append(one)
        else:
            found.append(rolled)
    if left:
        rows = _rows(left, len(several), metrics, last)
        states = rank_states(rows)
        took, _ = whole_steps(rows, len(states))
        known = [metric for metric in metrics if metric in rows.column_names]
        found.append(RollUp(states, roll_up(rows, known, took)))
    states = {rank: state for one in found for rank, state in one.states.items()}
    return RollUp(states, join_rollups([one.table for one in found]))


def _rows(several: Sequence[Run], count: int, metrics: Sequence[str], last: int | None) -> pa.Table:
    """Rows with a step of some of the `count` runs of a job, the newest ones of each rank."""
    if count == 1:
        rows = _with_rank(several[0], metrics, None)
        return rows if last is None else _newest(rows, last)
    rank = several[0].metadata.rank
    world = count if rank is None else rank.world_size or count
    # A run may have the ranks of a node, or a single one.
    most = None if last is None else last * max(1, math.ceil(world / count))
    tables = []
    for one in several:
        try:
            tables.append(_with_rank(one, metrics, most))
        except ExpmanError:
            continue  # it has just begun, or cannot be read: the others can
    types = dict.fromkeys((_STEP, _TIME, _RANK), pa.int64())
    for field in (field for table in tables for field in table.schema):
        types[field.name] = wider(types.get(field.name), field.type)
    return stack(tables, types)


def _newest(rows: pa.Table, last: int) -> pa.Table:
    """Returns the rows of the last steps of each rank, of which some may be far behind."""
    newest = rows.group_by(_RANK).aggregate([(_STEP, "max")])
    rows = rows.join(newest, _RANK)
    is_new = pc.greater(rows[_STEP], pc.subtract(rows[f"{_STEP}_max"], last))
    return rows.filter(is_new).drop_columns([f"{_STEP}_max"])


def _with_rank(run: Run, metrics: Sequence[str], last: int | None) -> pa.Table:
    known = metric_names(run.path)
    names = [_STEP, _TIME, _RANK, *(metric for metric in metrics if metric in known)]
    rows = read_vectors(run.path, names, last=last)
    rows = rows.drop_columns([one.name for one in rows.schema if pa.types.is_string(one.type)])
    rows = rows.set_column(1, _TIME, rows[_TIME].cast(pa.int64()))
    rank = run.metadata.rank
    if rank is not None:
        ranks = pc.fill_null(rows[_RANK], rank.rank)
        rows = rows.set_column(2, _RANK, ranks)
    return rows.filter(pc.and_(pc.is_valid(rows[_STEP]), pc.is_valid(rows[_RANK])))


def sibling_runs(run: Run) -> list[Run]:
    """The runs of the other ranks of the same job, if each has a run of its own."""
    meta = run.metadata
    if meta.rank is None or meta.group is None or meta.rank.world_size in (None, 1):
        return []
    base_dir, experiment = run._base_dir, run.experiment
    if not base_dir:
        return []
    stem = _stem(run)
    return [
        one
        for one in runs(base_dir, experiment, group=meta.group)
        if one.name != run.name and _stem(one) == stem
    ]


def _stem(run: Run) -> str:
    """A run's name without its rank."""
    rank = run.metadata.rank
    return run.name if rank is None else run.name.removesuffix(f"-rank{rank.rank}")
