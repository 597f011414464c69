"""Lists of runs: a table, or a paragraph per run where a table is too wide.

No name is ever cut. Where the width has no room for all columns, those that follow from others are
left out first; then each run gets lines of its own.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

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
_PIECES = re.compile(r"[^/:._]*[/:._]*")

_Line = list[str]


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


def _line(run: ListedRun | UnreadableRun, with_latest: bool) -> _Line:
    names = [visible(run.experiment), visible(run.name)]
    if isinstance(run, UnreadableRun):
        return [*names, "unreadable", "", "", visible(format_text(str(run.error)))]
    latest = ""
    if with_latest:
        pairs = (f"{format_name(key)} {format_number(run.latest[key])}" for key in run.latest)
        latest = format_text("  ".join(pairs))
    status = f"{run.status}, {run.missing}" if run.missing else str(run.status)
    return [*names, status, format_age(run.started_at), format_duration(run.duration), latest]


def _width(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


class _RunsView:
    def __init__(self, lines: list[_Line], chosen: list[str]) -> None:
        titles = ["experiment", "run", "status", "started", "took", *chosen]
        self._titles = [visible(title) for title in titles]
        self._lines = lines
        self._has_latest = chosen == [_LATEST]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = self._widths(options.max_width)
        if widths is None:
            yield from self._paragraphs(options.max_width)
            return
        if console.color_system is None:
            for line in (*self._heads(widths), *self._lines):
                yield Segment(self._plain(line, widths))
            return
        styles = {title: console.get_style(style) for title, style in STYLES.items()}
        styles["head"], styles["odd"] = console.get_style("bold"), console.get_style(_ODD)
        for head in self._heads(widths):
            yield from self._row(head, widths, dict.fromkeys(widths, styles["head"]))
        for line in self._lines:
            yield from self._row(line, widths, {_STATUS: _style(line[_STATUS], styles)})

    def _heads(self, widths: Mapping[int, int]) -> Iterator[_Line]:
        """The titles, on several lines where a column is too narrow for its title."""
        heads = [_title_lines(title, widths.get(n, 0)) for n, title in enumerate(self._titles)]
        for number in range(max(len(heads[place]) for place in widths)):
            yield [lines[number] if number < len(lines) else "" for lines in heads]

    def _row(
        self, line: _Line, widths: Mapping[int, int], styles: Mapping[int, Style | None]
    ) -> Iterator[Segment]:
        cells = [(place, text) for place, text in self._cells(line, widths)]
        while cells and not cells[-1][1].strip(" "):
            cells.pop()
        for number, (place, text) in enumerate(cells, 1):
            shown = text.rstrip(" ") if number == len(cells) else text + "  "
            yield Segment(shown, styles.get(place))
        yield Segment.line()

    def _plain(self, line: _Line, widths: Mapping[int, int]) -> str:
        return "  ".join(text for _, text in self._cells(line, widths)).rstrip(" ") + "\n"

    def _cells(self, line: _Line, widths: Mapping[int, int]) -> Iterator[tuple[int, str]]:
        """The texts of a line, each as wide as its column."""
        for place, width in widths.items():
            text = line[place] if place < len(line) else ""
            size = _width(text)
            yield place, _cut(text, width) if size > width else text + " " * (width - size)

    def _widths(self, room: int) -> dict[int, int] | None:
        """The width of each column that is shown, by its place; None if there is no room."""
        columns = range(len(self._titles))
        values = dict.fromkeys(columns, 0)
        for line in self._lines:
            for place, text in enumerate(line):
                values[place] = max(values[place], _width(text))
        titles = [_width(title) for title in self._titles]
        widths = {place: max(titles[place], values[place]) for place in columns}
        whole = widths[_FIRST_CHOSEN]
        if self._has_latest:
            widths[_FIRST_CHOSEN] = min(whole, _LEAST_LATEST)
        for place in (*[_FIRST_CHOSEN] * self._has_latest, 4, 3):
            if _taken(widths) > room:
                del widths[place]
        if _taken(widths) > room:
            for place in columns[_FIRST_CHOSEN:] if not self._has_latest else ():
                pieces = _PIECES.findall(self._titles[place])
                widths[place] = max(values[place], *map(_width, pieces), 1)
        if _taken(widths) > room:
            return None
        if self._has_latest and _FIRST_CHOSEN in widths:
            widths[_FIRST_CHOSEN] = min(whole, widths[_FIRST_CHOSEN] + room - _taken(widths))
        return widths

    def _paragraphs(self, room: int) -> RenderResult:
        """Each run on lines of its own: its name and status, then its values."""
        for line in self._lines:
            experiment, name, status, *_ = line
            style = STYLES.get(status.partition(",")[0], _ODD)
            whole = (f"{experiment}/{name}", "bold")
            yield Text.assemble(whole, "  ", (status, style), overflow="fold")
            pairs = [] if self._has_latest else self._chosen(line)
            for text in _wrapped([f"{title} {value}" for title, value in pairs], room - 2):
                yield Padding(Text(text, overflow="fold"), (0, 0, 0, 2), expand=False)

    def _chosen(self, line: _Line) -> list[tuple[str, str]]:
        return list(zip(self._titles[_FIRST_CHOSEN:], line[_FIRST_CHOSEN:], strict=False))


def _wrapped(texts: Sequence[str], room: int) -> Iterator[str]:
    """As many texts on each line as there is room for."""
    line = ""
    for text in texts:
        if line and _width(line) + 2 + _width(text) > room:
            yield line
            line = text
        else:
            line = f"{line}  {text}" if line else text
    if line:
        yield line


def _title_lines(title: str, width: int) -> list[str]:
    """A title in lines that are as wide as its column, broken after /, :, . and _."""
    lines = [""]
    for piece in _PIECES.findall(title):
        if _width(lines[-1]) + _width(piece) > width and lines[-1]:
            lines.append("")
        lines[-1] += piece
    return lines


def _taken(widths: Mapping[int, int]) -> int:
    return sum(widths.values()) + 2 * (len(widths) - 1)


def _cut(text: str, width: int) -> str:
    """The beginning of a text, as wide as there is room, with a mark."""
    if text.isascii():
        return text[: width - 1] + "…"
    kept, taken = [], 0
    for character in text:
        taken += cell_len(character)
        if taken > width - 1:
            break
        kept.append(character)
    return "".join(kept) + "…"


def _style(status: str, styles: Mapping[str, Style]) -> Style | None:
    return styles.get(status) or (styles["odd"] if status else None)
