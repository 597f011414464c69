"""Reads ranks.parquet, which the writer of a node's run makes, if it can be relied on."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from expman.models import RunStatus
from expman.reading.run import Run
from expman.storage.arrowfile import open_arrow
from expman.storage.paths import RANKS_PARQUET
from expman.storage.rank_file import ATTEMPT_KEY, RANKS_KEY, ROLLED_ROWS_KEY
from expman.storage.rank_rollup import PARTS, TOOK, RankStates, join_rollups

__all__ = ["RollUp", "read_rollup"]


class RollUp(NamedTuple):
    """A roll-up over some ranks.

    Attributes:
        states: of each rank its last step, the time of its last row, and its rows.
        table: one row per step.
    """

    states: RankStates
    table: pa.Table


def read_rollup(run: Run, metrics: Sequence[str], last: int | None) -> RollUp | None:
    """Reads the last steps of a run's roll-up; None if there is none that can be relied on.

    Of a live run it may be some seconds old. Of another one it must have all rows.

    Args:
        run: the run.
        metrics: they must be in it.
        last: so many steps, the newest ones; all if None.
    """
    try:
        with open_arrow(os.path.join(run.path, RANKS_PARQUET), follow=True) as source:
            return _read(pq.ParquetFile(source), run, metrics, last)
    except (OSError, pa.ArrowException, KeyError, ValueError):  # msgspec's errors are ValueErrors
        return None


def _read(
    file: pq.ParquetFile, run: Run, metrics: Sequence[str], last: int | None
) -> RollUp | None:
    footer, meta = file.metadata.metadata or {}, run.metadata
    rows, attempt = (int(footer[key.encode()]) for key in (ROLLED_ROWS_KEY, ATTEMPT_KEY))
    is_whole = meta.status is RunStatus.RUNNING or rows == meta.rows_written
    known = file.schema_arrow.names
    if attempt != meta.attempt or not is_whole or any(f"{m}:min" not in known for m in metrics):
        return None
    states = msgspec.convert(
        json.loads(footer[RANKS_KEY.encode()]), dict[int, tuple[int, int, int]], strict=False
    )
    names = ["step", "ranks", *(f"{name}:{part}" for name in (TOOK, *metrics) for part in PARTS)]
    groups = range(file.num_row_groups)
    left = file.metadata.num_rows if last is None else last
    first = len(groups)
    while first and left > 0:
        first -= 1
        left -= file.metadata.row_group(first).num_rows
    table = join_rollups([file.read_row_groups(groups[first:], names)], len(states))
    return RollUp(states, table if last is None else table.slice(max(0, table.num_rows - last)))
