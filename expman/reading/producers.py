"""Who logs into a run: rows, last step and process of each."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from expman.metadata import RunMetadata
from expman.models import RunStatus
from expman.reading.metric_curves import number_metrics
from expman.reading.parquetfile import VectorsParquet
from expman.reading.peek import lanes_of
from expman.reading.producer_rows import ProducerRows, is_rank, label_of, rows_by_producer
from expman.storage.rank_lags import lags_of

__all__ = ["ProducerState", "RunProducers", "producers", "with_lags"]

MOST_ROWS = 1_000_000
"""The newest rows of a run, in which everybody's last one is looked for."""
METRICS = 8
"""Steps of so many metrics are compared, the first ones of the run."""
MOST_CELLS = 4_000_000


@dataclass(frozen=True)
class ProducerState:
    """A process that logs into a run, or has logged.

    Attributes:
        name: as the column `_producer` has it.
        label: what people call it: `rank 2`.
        rank: its rank; None without ranks.
        host: name of its host; None if that is not known.
        pid: its process; None if it has ended, or runs on another machine, unless it is the owner.
        rows: how many rows it has logged, as its last one is numbered.
        last_step: step of its last row that has one; None if there is none, or it is long ago.
        last_at: when it logged its last row.
        behind: by how many steps most of the others with the same metrics are further; 0 if it is
            not behind. Those who are running are compared; if nobody is, and the run has not
            FINISHED, all. None for others, and if there is nothing to compare.
        state: "running", or "ended": its process is gone, or has closed its part. Of a run on
            another machine, nobody is known to have ended.
    """

    name: str
    label: str
    rank: int | None
    host: str | None
    pid: int | None
    rows: int
    last_step: int | None
    last_at: datetime.datetime | None
    behind: int | None
    state: str


def producers(run_dir: str, meta: RunMetadata) -> list[ProducerState]:
    """Everybody who has logged into a run, or may do so: the owner first, then ranks.

    A process of this machine that has joined the run and logged nothing yet is among them.

    Args:
        run_dir: the run's directory.
        meta: what its run.yaml says.

    Raises:
        StorageError: a file cannot be read.
    """
    return with_lags([RunProducers(run_dir, meta, MOST_ROWS)])


class RunProducers:
    """The producers of one run.

    Args:
        run_dir: the run's directory.
        meta: what its run.yaml says.
        most: the last row of each is looked for among so many.

    Attributes:
        has_failed: the run has ended otherwise than FINISHED.
        states: they, but for how far they are behind.
        steps: for each of them the last step of each metric.
    """

    def __init__(self, run_dir: str, meta: RunMetadata, most: int) -> None:
        self._meta = meta
        self.has_failed = meta.status in (RunStatus.FAILED, RunStatus.CRASHED)
        self._lanes = _lanes(run_dir) if meta.status is RunStatus.RUNNING else {}
        ends = _ends(run_dir)
        metrics = number_metrics(run_dir)[:METRICS]
        rows = sum(ends.values())
        metrics = metrics[: max(1, MOST_CELLS // max(1, min(rows, most)))]
        columns = ["step", "timestamp", "_seq", *metrics]
        several = rows_by_producer(run_dir, columns, last=most)
        known = {one.name for one in several}
        empty = several[0].rows.slice(0, 0) if several else pa.table({})
        for name in {**ends, **self._lanes}:
            if name not in known:
                rank = self._lanes[name][1] if name in self._lanes else _rank_in(name)
                several.append(ProducerRows(name, rank, name, empty))
        of_many = _is_of_many(meta, several)
        self.states = [self._state(one, ends, of_many=of_many) for one in several]
        self.steps = [_last_steps(one.rows, metrics) for one in several]

    def _state(self, one: ProducerRows, ends: Mapping[str, int], *, of_many: bool) -> ProducerState:
        meta = self._meta
        own = meta.rank.rank if meta.rank is not None and one.name == "main" else None
        rank = one.rank if one.rank is not None else own
        pid = meta.host.pid or None if one.name == "main" else None
        if one.name in self._lanes:
            pid = self._lanes[one.name][0]
        return ProducerState(
            name=one.name,
            label=label_of(one.name, rank, of_many=of_many),
            rank=rank,
            host=meta.host.hostname or None,
            pid=pid,
            rows=max(ends.get(one.name, 0), _end(one.rows)),
            last_step=_last(one.rows, "step"),
            last_at=_last_at(one.rows),
            behind=None,
            state=self._life(one.name),
        )

    def _life(self, name: str) -> str:
        if name in self._lanes:
            return "running"
        is_elsewhere = self._meta.status is RunStatus.RUNNING and not self._lanes
        return "running" if is_elsewhere else "ended"


def with_lags(found: Sequence[RunProducers]) -> list[ProducerState]:
    """Compares those who are running, or all of a job that has ended badly."""
    states = [state for one in found for state in one.states]
    steps = [steps for one in found for steps in one.steps]
    is_live = any(one.state == "running" for one in states)
    has_failed = not is_live and any(one.has_failed for one in found)
    compared = {
        number: steps[number]
        for number, one in enumerate(states)
        if one.state == "running" or has_failed
    }
    lags = lags_of(compared)
    return [
        dataclasses.replace(one, behind=lags[number].steps if number in lags else None)
        for number, one in enumerate(states)
    ]


def _is_of_many(meta: RunMetadata, several: Sequence[ProducerRows]) -> bool:
    rank = meta.rank
    world = 1 if rank is None else rank.world_size or 1
    return world > 1 or sum(is_rank(one.name, one.rank) for one in several) > 1


def _lanes(run_dir: str) -> dict[str, tuple[int, int | None]]:
    """Pid and rank of the processes of this machine that can log into a run."""
    found = {}
    for lane in lanes_of(run_dir):
        hello = lane.control.hello
        if hello.role != "relay" and not lane.control.sealed and lane.producer_alive():
            found[lane.producer] = hello.pid, None if hello.rank is None else hello.rank.rank
    return found


def _ends(run_dir: str) -> dict[str, int]:
    """How many rows each producer has in vectors.parquet, as they are numbered."""
    parquet = VectorsParquet.open(run_dir)
    if parquet is None:
        return {}
    with parquet:
        return dict(parquet.lanes or {})


def _rank_in(name: str) -> int | None:
    """The rank in the name of a producer of whom no row was read."""
    number = name.partition("/")[0].removeprefix("rank-")
    return int(number) if name.startswith("rank-") and number.isdigit() else None


def _end(rows: pa.Table) -> int:
    if not rows.num_rows:
        return 0
    last = pc.max(rows["_seq"]).as_py()
    return rows.num_rows if last is None else int(last) + 1


def _last(rows: pa.Table, column: str) -> int | None:
    if not rows.num_rows:
        return None
    known = rows[column].drop_null()
    return int(known[-1].as_py()) if len(known) else None


def _last_at(rows: pa.Table) -> datetime.datetime | None:
    if not rows.num_rows:
        return None
    micros = pc.max(rows["timestamp"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())).as_py()
    return None if micros is None else datetime.datetime.fromtimestamp(micros / 1e6, datetime.UTC)


def _last_steps(rows: pa.Table, metrics: Iterable[str]) -> dict[str, int]:
    """The last step of each metric."""
    return dict(_each_last_step(rows, metrics)) if rows.num_rows else {}


def _each_last_step(rows: pa.Table, metrics: Iterable[str]) -> Iterator[tuple[str, int]]:
    for metric in metrics:
        steps = rows["step"].filter(pc.is_valid(rows[metric])).drop_null()
        if len(steps):
            yield metric, int(steps[-1].as_py())
