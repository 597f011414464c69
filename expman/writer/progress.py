"""How far a producer is, for each set of metrics that it logs: each may have steps of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter

import msgspec

from expman.transport import records as wire

__all__ = ["Names", "Progress", "SetProgress"]

Names = tuple[str, ...]
_get_schema = attrgetter("schema")
MOST_SETS = 64
"""Of a producer that logs ever new names, the sets that it logged last are known."""
RECENT_ROWS = 64
"""What was not among so many rows of a producer, it may not log any more."""


class SetProgress(msgspec.Struct):
    """The last row with a set of metrics.

    Attributes:
        step: the user's step; None if it had none.
        stride: how many steps after the row before; 0 if that is unknown, or it went back.
        at_ns: when it was logged, in nanoseconds since the epoch.
        row: how many rows the producer had logged then.
    """

    step: int | None
    stride: int
    at_ns: int
    row: int


class Progress:
    """How far one producer is.

    Attributes:
        sets: the last row of each set of metrics, those logged last at the end.
        rows: how many rows were noted.
        at_ns: when the last one was logged; 0 if there is none.
    """

    def __init__(self) -> None:
        self.sets: dict[Names, SetProgress] = {}
        self.rows = 0
        self.at_ns = 0

    def note(
        self, names: Names, steps: Sequence[int | None], times_ns: Sequence[int], rows: int
    ) -> None:
        """Notes the last rows of a set.

        Args:
            names: their metrics.
            steps: at least of the last one; of two, if there are.
            times_ns: the same of the times.
            rows: how many rows the producer has logged since the last call.
        """
        self.rows += rows
        self.at_ns = max(self.at_ns, times_ns[-1])
        known = self.sets.pop(names, None)
        step = steps[-1]
        before = steps[-2] if len(steps) > 1 else None if known is None else known.step
        stride = 0 if step is None or before is None else max(0, step - before)
        self.sets[names] = SetProgress(step, stride, times_ns[-1], self.rows)
        if len(self.sets) > MOST_SETS:
            del self.sets[next(iter(self.sets))]

    def note_mixed(self, rows: Sequence[wire.Vector], schemas: Mapping[int, Names]) -> None:
        """Notes rows of several sets in turn."""
        left = len(set(map(_get_schema, rows)))
        last: dict[int, list[wire.Vector]] = {}
        for row in reversed(rows):
            several = last.setdefault(row.schema, [])
            if len(several) < 2:
                several.insert(0, row)
                left -= len(several) == 2
            if not left:
                break
        self.rows += len(rows)
        for schema, several in sorted(last.items(), key=lambda one: one[1][-1].logged_at_ns):
            steps, times = [one.step for one in several], [one.logged_at_ns for one in several]
            self.note(schemas[schema], steps, times, 0)

    def recent(self) -> Iterator[tuple[Names, SetProgress]]:
        """Yields the sets that it logs at present."""
        for names, one in self.sets.items():
            if self.rows - one.row <= RECENT_ROWS:
                yield names, one

    def steps(self) -> dict[Names, int]:
        """Returns the last step of each set that it logs at present."""
        return {names: one.step for names, one in self.recent() if one.step is not None}
