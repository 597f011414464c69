"""One job over many ranks: what each step was like over all of them, and who is behind.

The ranks of a job log into one run, or each into a run of its own, with the group in common. Only
the last steps are read.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from expman.errors import ConfigError, ExpmanError
from expman.reading.find import runs
from expman.reading.run import Run
from expman.reading.vectors import metric_names, read_vectors

__all__ = ["Ranks", "over_ranks", "ranks_of"]

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
        """Sentences that name those who are behind; empty if there is one rank only."""
        if len(self.steps) < 2:
            return []
        furthest = max(self.steps.values())
        behind = sorted(rank for rank, step in self.steps.items() if step < furthest)
        found = [f"{len(self.steps):,} ranks, the last step is {furthest:,}"]
        for rank in sorted(behind, key=lambda one: self.steps[one])[:_NAMED]:
            silent_s = max(self.last_at.values()) - self.last_at[rank]
            found.append(
                f"rank {rank} is behind: its last step is {self.steps[rank]:,}, "
                f"{silent_s:.1f} s before the last row of the others"
            )
        if len(behind) > _NAMED:
            found.append(f"and {len(behind) - _NAMED:,} more ranks are behind")
        if self.slowest is not None:
            found.append(
                f"rank {self.slowest} is the slowest: the last one in {self.slowest_share:.0%} of "
                f"the steps, {self.slowest_s:.3g} s after the median"
            )
        return found


_NAMED = 3


def ranks_of(run: Run) -> Ranks:
    """Looks at the last steps of all ranks of a run's job.

    Ranks that wait for each other in each step log at the same time, whoever is slow: then only one
    that stands still is behind. Clocks of several hosts may differ: what is constant does not
    count.

    Raises:
        StorageError: a file cannot be read.
    """
    rows = _rows(run, [])
    steps: dict[int, int] = {}
    last_at: dict[int, float] = {}
    times: dict[int, dict[int, float]] = {}
    for rank, step, moment in zip(
        rows[_RANK].to_pylist(),
        rows[_STEP].to_pylist(),
        rows[_TIME].cast(pa.int64()).to_pylist(),
        strict=True,
    ):
        at = moment / 1e6
        steps[rank] = max(steps.get(rank, step), step)
        last_at[rank] = max(last_at.get(rank, at), at)
        times.setdefault(step, {})[rank] = at
    return Ranks(steps, last_at, *_slowest(times, len(steps)))


def _slowest(times: dict[int, dict[int, float]], count: int) -> tuple[int | None, float, float]:
    """Returns who was the last one in most steps, in which share, and by how much."""
    whole = [by_rank for _, by_rank in sorted(times.items()) if len(by_rank) == count > 1]
    if len(whole) < 2:
        return None, 0.0, 0.0
    # Lateness in each step, less that in the first one: clocks of hosts may differ.
    late: dict[int, list[float]] = {rank: [] for rank in whole[0]}
    for before, now in itertools.pairwise(whole):
        took = {rank: now[rank] - before[rank] for rank in now}
        middle = statistics.median(took.values())
        for rank, seconds in took.items():
            late[rank].append(seconds - middle)
    last = Counter(
        max(late, key=lambda rank, number=number: late[rank][number])  # type: ignore[misc]
        for number in range(len(whole) - 1)
    )
    rank, often = last.most_common(1)[0]
    share, seconds = often / (len(whole) - 1), statistics.median(late[rank])
    if share <= _OFTEN or seconds < _LATE_S:
        return None, 0.0, 0.0
    return rank, share, seconds


def over_ranks(run: Run, metrics: Sequence[str], *, last: int = LAST_STEPS) -> pa.Table:
    """One row per step over all ranks of a run's job.

    Args:
        run: the run of any rank, or the run of all.
        metrics: metrics that are numbers.
        last: only so many rows of each rank, the newest ones.

    Returns:
        `step`, `ranks` (how many have logged it), and for each metric `METRIC:min`,
        `METRIC:min_rank`, `METRIC:median`, `METRIC:max` and `METRIC:max_rank`.

    Raises:
        ConfigError: no rank has such a metric.
        StorageError: a file cannot be read.
    """
    rows = _rows(run, metrics, last)
    missing = [metric for metric in metrics if metric not in rows.column_names]
    if missing:
        raise ConfigError("metrics", missing, "no rank has such a metric")
    found = rows.group_by(_STEP, use_threads=False).aggregate([(_RANK, "count_distinct")])
    found = found.rename_columns({f"{_RANK}_count_distinct": "ranks"}).sort_by(_STEP)
    for metric in metrics:
        known = rows.filter(pc.is_valid(rows[metric])).sort_by(metric)
        ends = known.group_by(_STEP, use_threads=False).aggregate(
            [
                *((metric, how) for how in ("first", "last", "list")),
                *((_RANK, how) for how in ("first", "last")),
            ]
        )
        ends = ends.rename_columns(
            {
                f"{metric}_first": f"{metric}:min",
                f"{_RANK}_first": f"{metric}:min_rank",
                f"{metric}_list": f"{metric}:median",
                f"{metric}_last": f"{metric}:max",
                f"{_RANK}_last": f"{metric}:max_rank",
            }
        )
        name = f"{metric}:median"
        median = [float(statistics.median(values)) for values in ends[name].to_pylist()]
        place = ends.schema.get_field_index(name)
        ends = ends.set_column(place, name, pa.array(median, pa.float64()))
        found = found.join(ends, _STEP, join_type="left outer").sort_by(_STEP)
    order = ("min", "min_rank", "median", "max", "max_rank")
    columns = [f"{metric}:{which}" for metric in metrics for which in order]
    return found.select([_STEP, "ranks", *columns])


def _rows(run: Run, metrics: Sequence[str], last: int = LAST_STEPS) -> pa.Table:
    """Rows with a step of all ranks of a job, the newest ones of each."""
    several = [run, *_siblings(run)]
    if len(several) == 1:
        return _newest(_with_rank(run, metrics, None), last)
    rank = run.metadata.rank
    world = len(several) if rank is None else rank.world_size or len(several)
    # A run may have the ranks of a node, or a single one.
    most = last * max(1, math.ceil(world / len(several)))
    tables = []
    for one in several:
        try:
            tables.append(_with_rank(one, metrics, most))
        except ExpmanError:
            continue  # it has just begun, or cannot be read: the others can
    return pa.concat_tables(tables, promote_options="permissive")


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
    rank = run.metadata.rank
    if rank is not None:
        ranks = pc.fill_null(rows[_RANK], rank.rank)
        rows = rows.set_column(rows.schema.get_field_index(_RANK), _RANK, ranks)
    return rows.filter(pc.and_(pc.is_valid(rows[_STEP]), pc.is_valid(rows[_RANK])))


def _siblings(run: Run) -> list[Run]:
    """The runs of the other ranks of the same job, if each has a run of its own."""
    meta = run.metadata
    if meta.rank is None or meta.group is None or meta.rank.world_size in (None, 1):
        return []
    base_dir, experiment, _ = run.path.rsplit("/", 2) if run.path.count("/") > 1 else ("", "", "")
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
