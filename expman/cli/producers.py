"""The table of those who log into a run, in `expman show`."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from expman.cli.output import console
from expman.errors import ExpmanError
from expman.reading.columns_view import ColumnsView, taken
from expman.reading.formats import format_duration
from expman.reading.job_producers import job_producers
from expman.reading.producers import ProducerState
from expman.reading.ranks import ranks_of
from expman.reading.rich_cells import cell, indented
from expman.reading.run import Run
from expman.reading.text import visible

__all__ = ["print_producers"]

MOST = 16
_TITLES = ("", "state", "rows", "last step", "behind by", "last row", "host", "pid")
_STYLES = {"running": "green"}


def print_producers(run: Run) -> None:
    """Prints a line for each rank or worker, if there are several.

    A file that cannot be read costs nothing else.
    """
    try:
        found = job_producers(run)
        is_one = len(found) < 2 and (run.metadata.rank is None or run.metadata.rank.world_size == 1)
        if is_one or not found:
            return
        sentences = ranks_of(run).sentences()
    except ExpmanError:
        return
    is_job = all(one.rank is not None for one in found)
    title = f"{len(found):,} {'ranks' if is_job else 'processes'}"
    console().print(title, style="italic")
    for sentence in sentences:
        console().print(indented(cell(sentence)))
    shown = [one for one in found if one in set(_first(found))]
    moment = _moment(run, found)
    console().print(_View(list(_TITLES), [_line(one, moment) for one in shown]))
    if len(shown) < len(found):
        left = [one for one in found if one not in set(shown)]
        console().print(indented(cell(_rest(left), "dim")))


def _first(found: Sequence[ProducerState]) -> Sequence[ProducerState]:
    """Those that are furthest behind, or stopped first where the run has ended."""
    if len(found) <= MOST:
        return found
    has_ended = all(one.behind is None for one in found)

    def matters(pair: tuple[int, ProducerState]) -> tuple[int, int, int]:
        number, one = pair
        return -(one.behind or 0), (one.last_step or 0) if has_ended else 0, number

    return [one for _, one in sorted(enumerate(found), key=matters)[:MOST]]


def _rest(left: Sequence[ProducerState]) -> str:
    """What those have in common that are left out."""
    known = [one.last_step for one in left if one.last_step is not None]
    low, high = min(known, default=0), max(known, default=0)
    steps = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    behind = max(one.behind or 0 for one in left)
    parts = [f"… and {len(left):,} more"] + [f"last steps {steps}"] * bool(known)
    parts += [f"up to {behind:,} behind"] * bool(behind)
    return f"{', '.join(parts)}; all of them with --json"


def _moment(run: Run, found: Sequence[ProducerState]) -> tuple[datetime.datetime, str]:
    """What times count from: now, or the end."""
    if any(one.state == "running" for one in found):
        return datetime.datetime.now(datetime.UTC), "ago"
    last = [one.last_at for one in found if one.last_at is not None]
    ended = run.finished_at or max(last, default=None)
    return ended or datetime.datetime.now(datetime.UTC), "before the end"


def _line(one: ProducerState, moment: tuple[datetime.datetime, str]) -> list[str]:
    since, word = moment
    ago = None if one.last_at is None else max(since - one.last_at, datetime.timedelta(0))
    return [
        f"  {visible(one.label)}",
        one.state,
        f"{one.rows:,}",
        "–" if one.last_step is None else f"{one.last_step:,}",
        f"{one.behind:,}" if one.behind else "",
        "–" if ago is None else f"{format_duration(ago)} {word}",
        visible(one.host or ""),
        str(one.pid) if one.pid is not None and one.state == "running" else "",
    ]


class _View(ColumnsView):
    """Columns that say nothing are left out, and then those that matter least."""

    _LEAST = (6, 7, 5)

    def styles(self, line: Sequence[str]) -> dict[int, str]:
        return {1: _STYLES.get(line[1], "")}

    def widths(self, room: int) -> dict[int, int] | None:
        widths = self.whole_widths()
        for place in list(widths):
            if all(line[place] in ("", "–") for line in self.lines):
                del widths[place]
        hosts = {line[6] for line in self.lines}
        if len(hosts) == 1:  # the facts of the run name it
            widths.pop(6, None)
        for place in self._LEAST:
            if taken(widths) > room:
                widths.pop(place, None)
        return widths if taken(widths) <= room else None
