"""How far a producer is, for each set of metrics that it logs: each may have steps of its own."""

from __future__ import annotations

from collections import Counter
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
PAUSE_NS = 1_000_000_000
PAUSE_TIMES = 10
"""A pause that is longer than this, and so many times the usual, is one."""


class SetProgress(msgspec.Struct):
    """The last row with a set of metrics.

    Attributes:
        step: the user's step; None if it had none.
        stride: how many steps after the row before; 0 if that is unknown, or it went back.
        at_ns: when it was logged, in nanoseconds since the epoch.
        began_ns: when the first one was logged that no long pause parts from it.
        count: how many there were since then.
        row: how many rows the producer had logged then.
    """

    step: int | None
    stride: int
    at_ns: int
    began_ns: int
    count: int
    row: int

    def goes_on(self, first_ns: int) -> bool:
        """True if a row at this time comes without a long pause."""
        pause_ns = first_ns - self.at_ns
        usual_ns = (self.at_ns - self.began_ns) / max(self.count - 1, 1)
        return self.count < 2 or pause_ns <= max(PAUSE_NS, PAUSE_TIMES * usual_ns)


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
        """Notes rows of a set.

        Args:
            names: their metrics.
            steps: of the last two rows, or of one.
            times_ns: of the first row and of the last one; more do not matter.
            rows: how many rows there are.
        """
        self.rows += rows
        self._note(names, steps, times_ns[0], times_ns[-1], rows)

    def _note(
        self, names: Names, steps: Sequence[int | None], first_ns: int, last_ns: int, rows: int
    ) -> None:
        self.at_ns = max(self.at_ns, last_ns)
        known = self.sets.pop(names, None)
        step = steps[-1]
        before = steps[-2] if len(steps) > 1 else None if known is None else known.step
        stride = 0 if step is None or before is None else max(0, step - before)
        began_ns, count = first_ns, rows
        if known is not None and known.goes_on(first_ns):
            began_ns, count = known.began_ns, known.count + rows
        self.sets[names] = SetProgress(step, stride, last_ns, began_ns, count, self.rows)
        if len(self.sets) > MOST_SETS:
            del self.sets[next(iter(self.sets))]

    def note_mixed(self, rows: Sequence[wire.Vector], schemas: Mapping[int, Names]) -> None:
        """Notes rows of several sets in turn."""
        numbers = list(map(_get_schema, rows))
        counts = Counter(numbers)
        firsts = dict(zip(reversed(numbers), reversed(rows), strict=True))  # the last one counts
        last: dict[int, list[wire.Vector]] = {}
        left = len(counts)
        for row in reversed(rows):
            several = last.setdefault(row.schema, [])
            if len(several) < 2:
                several.insert(0, row)
                left -= len(several) == 2
            if not left:
                break
        self.rows += len(rows)
        for schema, several in sorted(last.items(), key=lambda one: one[1][-1].logged_at_ns):
            times = firsts[schema].logged_at_ns, several[-1].logged_at_ns
            self._note(schemas[schema], [one.step for one in several], *times, counts[schema])

    def recent(self) -> Iterator[tuple[Names, SetProgress]]:
        """Yields the sets that it logs at present."""
        for names, one in self.sets.items():
            if self.rows - one.row <= RECENT_ROWS:
                yield names, one

    def steps(self) -> dict[Names, int]:
        """Returns the last step of each set that it logs at present."""
        return {names: one.step for names, one in self.recent() if one.step is not None}
