"""The counts of a run: what its lanes and its files say, in one place.

Each count is at most the truth while the run lives, and true at its end:
rows_logged = rows_written + rows_dropped + rows_missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from expman.models import RunMetadata, safe_text
from expman.transport.consumer import LaneConsumer

__all__ = ["Counts"]


class Counts:
    """Counts rows over all lanes of a run, also those that are gone.

    Args:
        meta: the run's metadata as an earlier writer left it.
        ended: that writer had finished the run: its counts include lanes that are gone now.

    Attributes:
        retired_rows: rows of workers that have gone.
        retired_drops: rows that they dropped.
    """

    def __init__(self, meta: RunMetadata, *, ended: bool) -> None:
        self._meta = meta
        self._known_missing = meta.rows_missing if ended else 0
        self.retired_rows = self.retired_drops = 0

    def update(
        self,
        lanes: Iterable[tuple[str, int, LaneConsumer]],
        reach: Mapping[str, int],
        written: int,
        waiting: int,
        *,
        final: bool,
    ) -> None:
        """Brings the run's metadata up to date.

        Args:
            lanes: the producer's name, the seq of its row 0 and the consumer of each lane.
            reach: how far each producer's rows go in the files.
            written: rows in the files.
            waiting: rows on their way to them.
            final: every lane was read to its end.
        """
        meta = self._meta
        ends = dict(reach)
        rows, drops = self.retired_rows, self.retired_drops
        for producer, seq_base, lane in lanes:
            rows += lane.logged_rows + lane.laneless_drops
            drops += lane.dropped_rows + lane.laneless_drops
            name = safe_text(producer)
            ends[name] = max(ends.get(name, 0), seq_base + lane.logged_rows)
        meta.rows_written = written
        meta.rows_dropped = max(meta.rows_dropped, drops)
        there = written + waiting + meta.rows_dropped + self._known_missing
        meta.rows_logged = max(meta.rows_logged, rows, sum(ends.values()), there)
        # Before its end, what an earlier writer counted may still be in shared memory.
        counted = meta.rows_logged if final else rows
        missing = counted - written - waiting - meta.rows_dropped
        meta.rows_missing = max(missing, self._known_missing)
