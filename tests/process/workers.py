"""What tests of runs with many producers ask of the files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from process.runs import read_rows

__all__ = ["check_producers", "check_worker_rows", "rows_by"]


def rows_by(run_dir: Path | str, key: str) -> dict[Any, list[int]]:
    """The values of `n` by those of another metric, in the order of the file."""
    found: dict[Any, list[int]] = defaultdict(list)
    for row in read_rows(Path(run_dir)).select([key, "n"]).to_pylist():
        found[row[key]].append(row["n"])
    return dict(found)


def check_producers(run_dir: Path | str) -> set[str]:
    """Each producer's rows are numbered from 0 without a gap; gives the producers' names."""
    table = read_rows(Path(run_dir))
    names = np.array(table["_producer"].to_pylist())
    seqs = table["_seq"].to_numpy()
    for name in set(names.tolist()):
        own = seqs[names == name]
        assert np.array_equal(np.arange(len(own)), own), name
    return set(names.tolist())


def check_worker_rows(
    run_dir: Path | str, returned: Iterable[int], threads: int, slack: int = 0
) -> int:
    """Rows of `log_in_workers.py`: each returned call's once, in order, and no other.

    Args:
        returned: how many calls returned, by worker and thread.
        slack: so many more may be there of each: calls that never got to return.
    """
    table = read_rows(Path(run_dir))
    worker, thread, n = (table[key].to_numpy() for key in ("worker", "thread", "n"))
    rows = 0
    for number, count in enumerate(returned):
        own = n[(worker == number // threads) & (thread == number % threads)]
        assert count <= len(own) <= count + slack, (number, count, len(own))
        assert np.array_equal(np.arange(len(own)), own), number
        rows += len(own)
    return rows
