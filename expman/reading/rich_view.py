"""Views of runs for rich: `rich.print(run)`, and the `expman` command."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from expman.reading.curves import Curve, spark
from expman.reading.formats import (
    format_facts,
    format_number,
)
from expman.reading.rich_cells import cell, grid, indented, pairs, status_text
from expman.reading.summary import RunDetails
from expman.reading.text import format_name

__all__ = ["run_view"]

MAX_METRICS = 40
MAX_VALUES = 60
_LONGEST = 160
_NO_CURVE = Curve([], [])


def run_view(run: RunDetails) -> RenderableType:
    """Shows one run: status, facts, latest values with small curves, parameters."""
    summary = run.summary
    whole_name = cell(f"{summary.experiment}/{summary.name}", "bold")
    pruned = ", pruned" if summary.metadata.is_pruned else ""
    head = Text.assemble(whole_name, "  ", status_text(summary.status), pruned)
    parts: list[RenderableType] = [head, pairs(format_facts(run))]
    if run.metrics:
        parts += [Text("latest", "italic"), _metrics(run)]
    for title, values in (("scalars", summary.metadata.scalars), ("parameters", run.params)):
        if values:
            first = list(values.items())[:MAX_VALUES]
            shown = ((name, format_number(value, _LONGEST)) for name, value in first)
            parts += [Text(title, "italic"), pairs(shown)]
            parts += [_more(len(values) - len(first))] * (len(values) > len(first))
    return Group(*parts)


def _more(count: int) -> RenderableType:
    return indented(Text(f"… and {count} more; all of them with --json", "dim"))


def _metrics(run: RunDetails) -> RenderableType:
    latest = run.summary.metadata.vectors
    table = grid()
    for name in run.metrics[:MAX_METRICS]:
        curve = run.curves.get(name, _NO_CURVE)
        line = f"{spark(curve.y)} {curve.remark}".strip()
        value = cell(format_number(latest.get(name), _LONGEST // 2))
        table.add_row(cell(format_name(name)), value, Text(line, no_wrap=True))
    if len(run.metrics) <= MAX_METRICS:
        return indented(table)
    return Group(indented(table), _more(len(run.metrics) - MAX_METRICS))
