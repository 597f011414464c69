"""How often a producer logs, and for how long it may log nothing."""

from __future__ import annotations

import msgspec

__all__ = ["SURE_ROWS", "Pace"]

TIMES_USUAL = 20.0
TIMES_LONGEST = 3.0
"""An evaluation at the end of each epoch is not a hang."""
TIMES_FIRST = 3.0
"""Before the first row, data may be prepared for long."""
SURE_ROWS = 10
"""Of a worker with fewer rows nobody knows how often it logs."""


class Pace(msgspec.Struct):
    """Knowledge about the rows of one producer. Times are by the monotonic clock.

    Attributes:
        rows: how many it has logged.
        first_at: when the first one was seen, or the producer.
        last_at: when the last one was seen.
        longest_s: the longest time between two looks that found new ones.
    """

    rows: int
    first_at: float
    last_at: float
    longest_s: float = 0.0

    def note(self, rows: int, now: float) -> None:
        """Notes how many rows there are."""
        if rows == self.rows:
            return
        if self.rows:
            self.longest_s = max(self.longest_s, now - self.last_at)
        else:
            self.first_at = now
        self.rows, self.last_at = rows, now

    def limit_s(self, hang_after_s: float) -> float:
        """So long without a row is a hang."""
        if not self.rows:
            return TIMES_FIRST * hang_after_s
        usual_s = (self.last_at - self.first_at) / max(self.rows - 1, 1)
        return max(hang_after_s, TIMES_USUAL * usual_s, TIMES_LONGEST * self.longest_s)
