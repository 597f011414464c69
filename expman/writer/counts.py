"""The counts of a run, from what its lanes and its files say.

Each count is at most the truth while the run is live, and true at its end:
rows_logged = rows_written + rows_superseded + rows_dropped + rows_missing.
"""

from __future__ import annotations

from expman.metadata import Attempt
from expman.models import safe_text
from expman.transport.numbering import LARGEST_COUNT
from expman.writer.open_run import OpenRun

__all__ = ["Counts"]


class Counts:
    """Counts rows over all lanes of a run, those that were retired among them.

    Args:
        run: the run, as an earlier writer left it.

    Attributes:
        are_final: every lane was read to its end.
    """

    def __init__(self, run: OpenRun) -> None:
        self.are_final = False
        self._run = run
        earlier = run.meta.earlier_attempts
        self._before = earlier[-1] if earlier else Attempt()  # its counts include all before it
        # If that writer had finished the run, its counts include lanes that are gone now.
        self._known_missing = self._before.rows_missing
        if run.earlier is not None:
            self._known_missing = run.meta.rows_missing

    def update(self) -> None:
        """Brings the run's metadata up to date."""
        meta, store, lanes = self._run.meta, self._run.store, self._run.lanes
        written, waiting = store.rows_written, store.pending_rows
        ends = dict(store.reach)
        rows = self._before.rows_logged + lanes.retired_rows
        drops = self._before.rows_dropped + lanes.retired_drops
        for state in lanes:
            lane = state.consumer
            rows += lane.logged_rows + lane.laneless_drops
            drops += lane.dropped_rows + lane.laneless_drops
            name = safe_text(state.producer)
            ends[name] = max(ends.get(name, 0), state.seq_base + lane.logged_rows)
        meta.rows_written, meta.rows_superseded = written, store.rows_superseded
        written += store.rows_superseded
        meta.rows_dropped = max(meta.rows_dropped, drops)
        there = written + waiting + meta.rows_dropped + self._known_missing
        meta.rows_logged = max(meta.rows_logged, rows, sum(ends.values()), there)
        # Before its end, what an earlier writer counted may still be in shared memory.
        counted = meta.rows_logged if self.are_final else rows
        missing = counted - written - waiting - meta.rows_dropped
        meta.rows_missing = max(missing, self._known_missing)
        owner = lanes.owner
        if owner is not None:
            owner.consumer.control.rows_missing = min(meta.rows_missing, LARGEST_COUNT)
