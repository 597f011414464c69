"""Runs in a terminal, for rich: `rich.print(run)`, and the `expman` command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from expman.errors import ExpmanError
from expman.reading.curves import curves, spark
from expman.reading.run import Run, flat_config
from expman.reading.text import ago, facts, number, span

if TYPE_CHECKING:
    from expman.reading.find import RunList

__all__ = ["pairs", "run_view", "runs_view", "status_text"]

MAX_METRICS = 40
STYLES = {"RUNNING": "bold blue", "FINISHED": "green", "FAILED": "bold red", "CRASHED": "yellow"}


def run_view(run: Run) -> RenderableType:
    """One run: status, facts, latest values with small curves, parameters."""
    try:
        head = Text.assemble((f"{run.experiment}/{run.name}", "bold"), "  ", status_text(run))
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
        return Text.assemble((run.path, "bold"), f": {exc}")


def _metrics(run: Run, names: list[str], drawn: Mapping[str, object]) -> RenderableType:
    latest = run.latest
    table = _grid()
    for name in names[:MAX_METRICS]:
        curve = drawn.get(name)
        line = spark(getattr(curve, "y", ())) if curve is not None else ""
        table.add_row(f"  {name}", number(latest.get(name)), Text(line, no_wrap=True))
    if len(names) > MAX_METRICS:
        table.add_row(f"  … and {len(names) - MAX_METRICS} more", "", "")
    return table


def runs_view(runs: RunList) -> RenderableType:
    """A list of runs: one line each, with as much as the width has room for."""
    return _RunsView([_run_line(run) for run in runs])


def _run_line(run: Run) -> list[Text]:
    try:
        latest = "  ".join(f"{name} {number(value)}" for name, value in run.latest.items())
        status, began, took = status_text(run), ago(run.started_at), span(run.duration)
    except ExpmanError as exc:
        status, began, took, latest = Text("unreadable", "red"), "", "", str(exc)
    names = [Text(run.experiment), Text(run.name)]
    return [*names, status, Text(began), Text(took), Text(" ".join(latest.split()))]


class _RunsView:
    """Leaves out whole columns where a narrow terminal has no room, never the run's name."""

    _TITLES = ("experiment", "run", "status", "started", "took", "latest")
    _ESSENTIAL = ("experiment", "run", "status")
    _LEAST_LATEST = 16

    def __init__(self, lines: list[list[Text]]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = {
            title: max([len(title), *(line[n].cell_len for line in self._lines)])
            for n, title in enumerate(self._TITLES)
        }
        widths["latest"] = min(widths["latest"], self._LEAST_LATEST)
        shown = list(self._TITLES)
        for title in ("latest", "took", "started", "experiment"):
            if sum(widths[name] + 2 for name in shown) - 2 > options.max_width:
                shown.remove(title)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in shown:
            if title == "latest":
                table.add_column(title, overflow="ellipsis", no_wrap=True)
            elif title in self._ESSENTIAL:
                table.add_column(title, overflow="fold", min_width=min(widths[title], 16))
            else:
                table.add_column(title, no_wrap=True, min_width=widths[title])
        for line in self._lines:
            table.add_row(*(line[self._TITLES.index(title)] for title in shown))
        yield table


def status_text(run: Run) -> Text:
    """The status in its color."""
    status = str(run.status)
    return Text(status, STYLES.get(status, ""))


def pairs(lines: Iterable[tuple[str, str]]) -> Table:
    """Names and values in two columns."""
    table = _grid()
    for name, text in lines:
        table.add_row(f"  {name}", Text(text))
    return table


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    return table
