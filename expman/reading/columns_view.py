"""Tables that fit a width without a cut: titles fold, then each line becomes a paragraph."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

__all__ = ["ColumnsView", "taken", "text_width"]

_PIECES = re.compile(r"[^/:._]*[/:._]*")


def text_width(text: str) -> int:
    """Returns how many cells of a terminal a text takes."""
    return len(text) if text.isascii() else cell_len(text)


class ColumnsView:
    """A table.

    Args:
        titles: one for each column.
        lines: texts, one for each column; a line may end early.
    """

    def __init__(self, titles: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
        self.titles = list(titles)
        self.lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = self.widths(options.max_width)
        if widths is None:
            for line in self.lines:
                yield from self.paragraph(line, options.max_width)
            return
        if console.color_system is None:
            for line in (*self._heads(widths), *self.lines):
                yield Segment(self._plain(line, widths))
            return
        bold = console.get_style("bold")
        for head in self._heads(widths):
            yield from self._row(head, widths, dict.fromkeys(widths, bold))
        for line in self.lines:
            styles = {place: console.get_style(name) for place, name in self.styles(line).items()}
            yield from self._row(line, widths, styles)

    def styles(self, line: Sequence[str]) -> Mapping[int, str]:
        """Returns the styles of some columns of a line."""
        return {}

    def widths(self, room: int) -> dict[int, int] | None:
        """Returns the width of each column that is shown, by its place; None without room."""
        widths = self.whole_widths()
        if taken(widths) > room:
            self.fold_titles(widths, range(len(self.titles)))
        return widths if taken(widths) <= room else None

    def whole_widths(self) -> dict[int, int]:
        """Returns the width that each column takes."""
        widths = {place: text_width(title) for place, title in enumerate(self.titles)}
        for line in self.lines:
            for place, text in enumerate(line):
                widths[place] = max(widths[place], text_width(text))
        return widths

    def fold_titles(self, widths: dict[int, int], places: Sequence[int]) -> None:
        """Makes columns as narrow as their values and the pieces of their titles."""
        for place in places:
            if place in widths:
                values = (text_width(line[place]) for line in self.lines if place < len(line))
                pieces = map(text_width, _PIECES.findall(self.titles[place]))
                widths[place] = max(1, *values, *pieces)

    def paragraph(self, line: Sequence[str], room: int) -> RenderResult:
        """Shows a line where the table has no room: the first value, then pairs."""
        yield Text(line[0], "bold", overflow="fold")
        yield from self.pairs(zip(self.titles[1:], line[1:], strict=False), room)

    def pairs(self, pairs: Iterator[tuple[str, str]], room: int) -> RenderResult:
        """Shows titles and values, as many on a line as there is room for."""
        for text in _wrapped([f"{title} {value}" for title, value in pairs], room - 2):
            yield Padding(Text(text, overflow="fold"), (0, 0, 0, 2), expand=False)

    def _heads(self, widths: Mapping[int, int]) -> Iterator[Sequence[str]]:
        """The titles, on several lines where a column is too narrow for its title."""
        heads = [_title_lines(title, widths.get(n, 0)) for n, title in enumerate(self.titles)]
        for number in range(max(len(heads[place]) for place in widths)):
            yield [lines[number] if number < len(lines) else "" for lines in heads]

    def _row(
        self, line: Sequence[str], widths: Mapping[int, int], styles: Mapping[int, Style]
    ) -> Iterator[Segment]:
        cells = list(self._cells(line, widths))
        while cells and not cells[-1][1].strip(" "):
            cells.pop()
        for number, (place, text) in enumerate(cells, 1):
            shown = text.rstrip(" ") if number == len(cells) else text + "  "
            yield Segment(shown, styles.get(place))
        yield Segment.line()

    def _plain(self, line: Sequence[str], widths: Mapping[int, int]) -> str:
        return "  ".join(text for _, text in self._cells(line, widths)).rstrip(" ") + "\n"

    def _cells(self, line: Sequence[str], widths: Mapping[int, int]) -> Iterator[tuple[int, str]]:
        """The texts of a line, each as wide as its column."""
        for place, width in widths.items():
            text = line[place] if place < len(line) else ""
            size = text_width(text)
            yield place, _cut(text, width) if size > width else text + " " * (width - size)


def taken(widths: Mapping[int, int]) -> int:
    """Returns how wide a table of such columns is."""
    return sum(widths.values()) + 2 * (len(widths) - 1)


def _wrapped(texts: Sequence[str], room: int) -> Iterator[str]:
    """As many texts on each line as there is room for."""
    line = ""
    for text in texts:
        if line and text_width(line) + 2 + text_width(text) > room:
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
        if text_width(lines[-1]) + text_width(piece) > width and lines[-1]:
            lines.append("")
        lines[-1] += piece
    return lines


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
