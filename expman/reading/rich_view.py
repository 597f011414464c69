"""Runs in a terminal, for rich: `rich.print(run)`, and the `expman` command."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from expman.errors import ExpmanError
from expman.reading.curves import Curve, curves, spark
from expman.reading.run import Run, flat_config
from expman.reading.text import ago, brief, facts, lacks, number, short, span, visible

if TYPE_CHECKING:
    from expman.reading.find import RunList

__all__ = ["cell", "pairs", "run_view", "runs_view", "status_text"]

MAX_METRICS = 40
_LATEST = 16
_NO_CURVE = Curve([], [])
STYLES = {"RUNNING": "bold blue", "FINISHED": "green", "FAILED": "bold red", "CRASHED": "yellow"}


def cell(text: str, style: str = "") -> Text:
    """A text as it is: without markup or emoji codes, harmless for the terminal."""
    return Text(visible(text), style)


def run_view(run: Run) -> RenderableType:
    """One run: status, facts, latest values with small curves, parameters."""
    try:
        whole_name = cell(f"{run.experiment}/{run.name}", "bold")
        head = Text.assemble(whole_name, "  ", status_text(run))
        names = run.metrics
        drawn = curves(run, names[:MAX_METRICS])
        parts: list[RenderableType] = [head, pairs(facts(run))]
        if names:
            parts += [Text("latest", "italic"), _metrics(run, names, drawn)]
        for title, values in (("scalars", run.scalars), ("parameters", flat_config(run.config))):
            if values:
                shown = ((name, number(value)) for name, value in values.items())
                parts += [Text(title, "italic"), pairs(shown)]
        return Group(*parts)
    except ExpmanError as exc:
        return cell(f"{run.path}: {exc}")


def _metrics(run: Run, names: list[str], drawn: Mapping[str, Curve]) -> RenderableType:
    latest = run.latest
    table = _grid()
    for name in names[:MAX_METRICS]:
        curve = drawn.get(name, _NO_CURVE)
        line = f"{spark(curve.y)} {curve.remark}".strip()
        table.add_row(_name(name), cell(number(latest.get(name))), Text(line, no_wrap=True))
    if len(names) > MAX_METRICS:
        table.add_row(f"  … and {len(names) - MAX_METRICS} more", "", "")
    return table


def runs_view(runs: RunList) -> RenderableType:
    """A list of runs: one line each, with as much as the width has room for."""
    return _RunsView([_run_line(run) for run in runs])


def _run_line(run: Run) -> list[Text]:
    try:
        values = itertools.islice(run.latest.items(), _LATEST)
        latest = "  ".join(f"{short(name)} {number(value)}" for name, value in values)
        status, began, took = status_text(run), ago(run.started_at), span(run.duration)
        missing = lacks(run)
        if missing:
            status = Text.assemble(status, (f", {missing}", "bold red"))
    except ExpmanError as exc:
        status, began, took, latest = Text("unreadable", "red"), "", "", str(exc)
    return [cell(run.experiment), cell(run.name), status, *map(cell, (began, took, brief(latest)))]


class _RunsView:
    """Leaves out columns, then folds names, where there is no room; no name is ever cut."""

    _TITLES = ("experiment", "run", "status", "started", "took", "latest")
    _LEAST_LATEST = 16
    _LEAST_NAMES: ClassVar = {"experiment": len("experiment"), "run": 4}

    def __init__(self, lines: list[list[Text]]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = self._widths(options.max_width)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title, width in widths.items():
            cut = title == "latest"
            table.add_column(
                title, width=width, no_wrap=cut, overflow="ellipsis" if cut else "fold"
            )
        for line in self._lines:
            table.add_row(*(line[self._TITLES.index(title)] for title in widths))
        yield table

    def _widths(self, room: int) -> dict[str, int]:
        widths = {
            title: max([len(title), *(line[n].cell_len for line in self._lines)])
            for n, title in enumerate(self._TITLES)
        }
        whole = widths["latest"]
        widths["latest"] = min(whole, self._LEAST_LATEST)
        for title in ("latest", "took", "started"):
            if _taken(widths) > room:
                del widths[title]
        if "latest" in widths:
            widths["latest"] = min(whole, widths["latest"] + room - _taken(widths))
        for title, least in self._LEAST_NAMES.items():
            excess = max(0, _taken(widths) - room)
            widths[title] = max(widths[title] - excess, min(widths[title], least))
        return widths


def _taken(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + 2 * (len(widths) - 1)


def status_text(run: Run) -> Text:
    """The status in its color."""
    status = str(run.status)
    return Text(status, STYLES.get(status, ""))


def pairs(lines: Iterable[tuple[str, str]]) -> Table:
    """Names and values in two columns."""
    table = _grid()
    for name, text in lines:
        table.add_row(_name(name), cell(text))
    return table


def _name(name: str) -> Text:
    return cell(f"  {short(name)}")


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    return table
