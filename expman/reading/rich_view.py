"""Views of runs for rich: `rich.print(run)`, and the `expman` command."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from rich.console import (
    Console,
    ConsoleOptions,
    Group,
    OverflowMethod,
    RenderableType,
    RenderResult,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from expman.models import RunStatus
from expman.reading.curves import Curve, spark
from expman.reading.formats import (
    format_age,
    format_duration,
    format_facts,
    format_missing,
    format_number,
    format_time,
)
from expman.reading.summary import RunDetails, RunSummary, UnreadableRun
from expman.reading.text import format_name, format_text, visible

__all__ = ["cell", "pairs", "run_view", "runs_view", "status_text"]

MAX_METRICS = 40
_LATEST = 16
_LATEST_PLACE = 5
_NO_CURVE = Curve([], [])
STYLES = {"RUNNING": "bold blue", "FINISHED": "green", "FAILED": "bold red", "CRASHED": "yellow"}


def cell(text: str, style: str = "") -> Text:
    """Shows a text as it is, without markup or emoji codes, and harmless for the terminal."""
    return Text(visible(text), style)


def run_view(run: RunDetails) -> RenderableType:
    """Shows one run: status, facts, latest values with small curves, parameters."""
    summary = run.summary
    whole_name = cell(f"{summary.experiment}/{summary.name}", "bold")
    head = Text.assemble(whole_name, "  ", status_text(summary.status))
    parts: list[RenderableType] = [head, pairs(format_facts(run))]
    if run.metrics:
        parts += [Text("latest", "italic"), _metrics(run)]
    for title, values in (("scalars", summary.metadata.scalars), ("parameters", run.params)):
        if values:
            shown = ((name, format_number(value)) for name, value in values.items())
            parts += [Text(title, "italic"), pairs(shown)]
    return Group(*parts)


def _metrics(run: RunDetails) -> RenderableType:
    latest = run.summary.metadata.vectors
    table = _grid()
    for name in run.metrics[:MAX_METRICS]:
        curve = run.curves.get(name, _NO_CURVE)
        line = f"{spark(curve.y)} {curve.remark}".strip()
        value = cell(format_number(latest.get(name)))
        table.add_row(_name(name), value, Text(line, no_wrap=True))
    if len(run.metrics) > MAX_METRICS:
        table.add_row(f"  … and {len(run.metrics) - MAX_METRICS} more", "", "")
    return table


def runs_view(
    runs: Sequence[RunSummary | UnreadableRun],
    columns: Mapping[str, Sequence[object]] | None = None,
) -> RenderableType:
    """Shows a list of runs, one line each, with as many columns as the width has room for.

    Args:
        runs: the runs.
        columns: titles and values, one for each run, in place of the latest values.
    """
    lines = [_line(run) for run in runs]
    if columns is not None:
        chosen = zip(*columns.values(), strict=True)
        lines = [[*line[:-1], *map(_value, row)] for line, row in zip(lines, chosen, strict=True)]
    return _RunsView(lines, list(columns) if columns is not None else ["latest"])


def _value(value: object) -> Text:
    if isinstance(value, datetime.datetime):
        return cell(format_time(value))
    return cell(format_number(value))


def _line(run: RunSummary | UnreadableRun) -> list[Text]:
    names = [cell(run.experiment), cell(run.name)]
    if isinstance(run, UnreadableRun):
        error = cell(format_text(str(run.error)))
        return [*names, Text("unreadable", "red"), Text(), Text(), error]
    values = itertools.islice(run.metadata.vectors.items(), _LATEST)
    latest = "  ".join(f"{format_name(name)} {format_number(value)}" for name, value in values)
    status, missing = status_text(run.status), format_missing(run)
    if missing:
        status = Text.assemble(status, (f", {missing}", "bold red"))
    texts = (format_age(run.started_at), format_duration(run.duration), format_text(latest))
    return [*names, status, *map(cell, texts)]


class _RunsView:
    """Leaves out columns, then folds names, where there is no room; no name is ever cut."""

    _LEAST_LATEST = 16
    _LEAST_NAMES: ClassVar = (len("experiment"), len("run") + 1)

    def __init__(self, lines: list[list[Text]], chosen: list[str]) -> None:
        self._lines = lines
        self._titles = ["experiment", "run", "status", "started", "took", *chosen]
        self._has_latest = chosen == ["latest"]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = self._widths(options.max_width)
        places = sorted(widths)
        if console.color_system is None and self._fits(widths):
            yield from self._plain_lines(widths)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for place in places:
            cut = self._has_latest and place == _LATEST_PLACE
            overflow: OverflowMethod = "ellipsis" if cut else "fold"
            title = cell(self._titles[place])
            table.add_column(title, width=widths[place], no_wrap=cut, overflow=overflow)
        for line in self._lines:
            table.add_row(*(line[place] for place in places))
        yield table

    def _fits(self, widths: Mapping[int, int]) -> bool:
        """Whether no cell is cut or folded."""
        return all(
            line[place].cell_len <= width for line in self._lines for place, width in widths.items()
        )

    def _plain_lines(self, widths: Mapping[int, int]) -> Iterator[Segment]:
        """What the table would show, without colors: a table of 10,000 lines takes seconds."""
        columns = sorted(widths.items())
        for line in ([cell(title) for title in self._titles], *self._lines):
            cells = [(line[place], width) for place, width in columns]
            padded = [text.plain + " " * (width - text.cell_len) for text, width in cells]
            yield Segment("  ".join(padded) + "\n")

    def _widths(self, room: int) -> dict[int, int]:
        """The width of each column that has room, by its place."""
        widths = {
            place: max([cell(title).cell_len, *(line[place].cell_len for line in self._lines)])
            for place, title in enumerate(self._titles)
        }
        whole = widths[_LATEST_PLACE]
        if self._has_latest:
            widths[_LATEST_PLACE] = min(whole, self._LEAST_LATEST)
        for title in (*["latest"] * self._has_latest, "took", "started"):
            if _taken(widths) > room:
                del widths[self._titles.index(title)]
        if self._has_latest and _LATEST_PLACE in widths:
            spare = room - _taken(widths)
            widths[_LATEST_PLACE] = min(whole, widths[_LATEST_PLACE] + spare)
        for place, least in enumerate(self._LEAST_NAMES):
            excess = max(0, _taken(widths) - room)
            widths[place] = max(widths[place] - excess, min(widths[place], least))
        return widths


def _taken(widths: Mapping[int, int]) -> int:
    return sum(widths.values()) + 2 * (len(widths) - 1)


def status_text(status: RunStatus) -> Text:
    """Shows a status in its color."""
    return Text(str(status), STYLES.get(str(status), ""))


def pairs(lines: Iterable[tuple[str, str]]) -> Table:
    """Shows names and values in two columns."""
    table = _grid()
    for name, text in lines:
        table.add_row(_name(name), cell(text))
    return table


def _name(name: str) -> Text:
    return cell(f"  {format_name(name)}")


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    return table
