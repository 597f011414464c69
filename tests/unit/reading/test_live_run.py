"""The newest rows of a live run are kept within bounds."""

from __future__ import annotations

import pyarrow as pa

from expman.reading import live_run
from expman.reading.live_run import LiveRun


def test_rows_of_few_looks_are_kept(tmp_path: object) -> None:
    """A slow run is looked at again and again: what one look brings has few rows."""
    run = LiveRun(str(tmp_path))
    for seq in range(live_run.KEPT_TABLES + 10):
        row = {"_producer": ["main"], "_seq": pa.array([seq], pa.int64())}
        run._keep(pa.table(row))

    assert live_run.KEPT_TABLES == len(run._kept)
    assert {"main": 10} == run._start
