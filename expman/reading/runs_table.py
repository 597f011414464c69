"""Lists of runs: a table, or a paragraph per run where a table is too wide.

No name is ever cut. Where the width has no room for all columns, those that follow from others are
left out first; then each run gets lines of its own.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from rich.console import RenderableType, RenderResult
from rich.text import Text

from expman.reading.columns_view import ColumnsView, taken
from expman.reading.differences import distinct
from expman.reading.formats import format_age, format_duration, format_number, format_time
from expman.reading.listing import ListedRun, listed
from expman.reading.rich_cells import STYLES
from expman.reading.summary import RunSummary, UnreadableRun
from expman.reading.text import format_name, format_text, visible

__all__ = ["runs_view"]

_LATEST = "latest"
_STATUS, _FIRST_CHOSEN = 2, 5
_LEAST_LATEST = 16
_ODD = "bold red"


def runs_view(
    runs: Sequence[ListedRun | RunSummary | UnreadableRun],
    columns: Mapping[str, Sequence[object]] | None = None,
) -> RenderableType:
    """Shows a list of runs, with as many columns as the width has room for.

    Args:
        runs: the runs.
        columns: titles and values, one for each run, in place of the latest values. Values of a
            column that differ have different texts.
    """
    found = [run if isinstance(run, ListedRun) else listed(run) for run in runs]
    lines = [_line(run, columns is None) for run in found]
    if columns is not None:
        chosen = zip(*map(_column, columns.values()), strict=True)
        lines = [[*line[:_FIRST_CHOSEN], *row] for line, row in zip(lines, chosen, strict=True)]
    return _RunsView(lines, list(columns) if columns is not None else [_LATEST])


def _column(values: Sequence[object]) -> list[str]:
    return distinct(
        [format_time(one) if isinstance(one, datetime.datetime) else one for one in values]
    )


def _line(run: ListedRun | UnreadableRun, with_latest: bool) -> list[str]:
    names = [visible(run.experiment), visible(run.name)]
    if isinstance(run, UnreadableRun):
        return [*names, "unreadable", "", "", visible(format_text(str(run.error)))]
    latest = ""
    if with_latest:
        pairs = (f"{format_name(key)} {format_number(run.latest[key])}" for key in run.latest)
        latest = format_text("  ".join(pairs))
    remarks = ["pruned"] * run.pruned + [run.missing] * bool(run.missing)
    status = ", ".join([str(run.status), *remarks])
    return [*names, status, format_age(run.started_at), format_duration(run.duration), latest]


class _RunsView(ColumnsView):
    def __init__(self, lines: list[list[str]], chosen: list[str]) -> None:
        titles = ["experiment", "run", "status", "started", "took", *chosen]
        super().__init__([visible(title) for title in titles], lines)
        self._has_latest = chosen == [_LATEST]

    def styles(self, line: Sequence[str]) -> Mapping[int, str]:
        return {_STATUS: _style(line[_STATUS])}

    def widths(self, room: int) -> dict[int, int] | None:
        widths = self.whole_widths()
        whole = widths[_FIRST_CHOSEN]
        if self._has_latest:
            widths[_FIRST_CHOSEN] = min(whole, _LEAST_LATEST)
        for place in (*[_FIRST_CHOSEN] * self._has_latest, 4, 3):
            if taken(widths) > room:
                del widths[place]
        if taken(widths) > room and not self._has_latest:
            self.fold_titles(widths, range(_FIRST_CHOSEN, len(self.titles)))
        if taken(widths) > room:
            return None
        if self._has_latest and _FIRST_CHOSEN in widths:
            widths[_FIRST_CHOSEN] = min(whole, widths[_FIRST_CHOSEN] + room - taken(widths))
        return widths

    def paragraph(self, line: Sequence[str], room: int) -> RenderResult:
        experiment, name, status, *_ = line
        whole = (f"{experiment}/{name}", "bold")
        yield Text.assemble(whole, "  ", (status, _style(status)), overflow="fold")
        if not self._has_latest:
            chosen = zip(self.titles[_FIRST_CHOSEN:], line[_FIRST_CHOSEN:], strict=False)
            yield from self.pairs(chosen, room)


def _style(status: str) -> str:
    return STYLES.get(status) or (_ODD if status else "")
