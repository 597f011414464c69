"""Cells of tables for rich: texts as they are, statuses in their colors, pairs in two columns."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from expman.models import RunStatus
from expman.reading.text import format_name, visible

__all__ = ["STYLES", "cell", "grid", "indented", "pairs", "status_text"]

STYLES = {"RUNNING": "bold blue", "FINISHED": "green", "FAILED": "bold red", "CRASHED": "yellow"}


def cell(text: str, style: str = "") -> Text:
    """Shows a text as it is, without markup or emoji codes, and harmless for the terminal."""
    return Text(visible(text), style)


def status_text(status: RunStatus) -> Text:
    """Shows a status in its color."""
    return Text(str(status), STYLES.get(str(status), ""))


def pairs(lines: Iterable[tuple[str, str]]) -> RenderableType:
    """Shows names and values in two columns, indented."""
    table = grid()
    for name, text in lines:
        table.add_row(cell(format_name(name)), cell(text))
    return indented(table)


def indented(shown: RenderableType) -> RenderableType:
    """Indents all lines of a text or a table, those that were folded, too."""
    return Padding(shown, (0, 0, 0, 2), expand=False)


def grid() -> Table:
    """Makes a table of two columns without a head."""
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    return table
