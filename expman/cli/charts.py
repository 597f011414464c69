"""Charts of curves in the terminal."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotext
from rich.text import Text

from expman.cli.output import console, print_note
from expman.reading.columns_view import text_width
from expman.reading.curves import Curve, scale_of
from expman.reading.text import format_text, visible
from expman.shown import count_of

__all__ = ["SMOOTH_HELP", "print_chart"]

SMOOTH_HELP = "Smooth the curves: weight of the points before, such as 0.6."
# Of Okabe and Ito, distinct for all kinds of sight; by their numbers among 256 colors.
_COLORS = (32, 208, 36, 160, 175, 74, 178, 245)
_LETTERS = "abcdefghijklmnopqrstuvwyzABCDEFGHIJKLMNOPQRSTUVWYZ"  # x marks what is not finite
_MAX_POWERS = 6
"""Labels of a logarithmic axis; of more powers every other, third, … has one."""
_LINES_PER_LABEL = 4
_LEAST_HEIGHT = 8
"""Three lines of curves, between a title and labels."""


def print_chart(
    title: str,
    lines: Mapping[str, Curve],
    *,
    of: str = "",
    log_scale: bool,
    height: int | None = None,
    smooth: float = 0.0,
    x_label: str,
) -> None:
    """Prints a chart with one line per label, as wide as the terminal, and a legend below it.

    A line has a gap where a value is NaN or infinite, and a mark at the bottom. The title counts
    them, and the values that a logarithmic axis cannot show.

    Args:
        title: the metric.
        lines: curves by their labels.
        of: what they are of, for the title.
        log_scale: draw a logarithmic y axis.
        height: in lines; about half of the terminal if None.
        smooth: weight of a moving average.
        x_label: what the x axis counts.
    """
    drawn = {label: curve.smoothed(smooth) for label, curve in lines.items()}
    scale = 1.0 if log_scale else scale_of(drawn.values())
    below = sum(y <= 0 for curve in drawn.values() for y in curve.y) if log_scale else 0
    pieces = {label: list(_pieces(curve, scale, log_scale)) for label, curve in drawn.items()}
    heights = [y for parts in pieces.values() for _, ys in parts for y in ys]
    if not heights:
        what = "number above 0" if log_scale else "finite number"
        print_note(f"{format_text(title, 60)} has no {what}: nothing to plot")
        return
    size = shutil.get_terminal_size((80, 24))
    lines_high = max(_LEAST_HEIGHT, height or max(10, min(20, size.lines // 2)))
    plot = _new_plot(min(size.columns, 160), lines_high)
    colored = console().color_system is not None
    marks = _marks(list(pieces), colored)
    for label, parts in pieces.items():
        color, marker = marks[label]
        for x, y in parts:
            plot.plot(x, y, marker=marker or "braille", color=color)
    odd = sorted({x for curve in drawn.values() for x in curve.odd})
    low, high = min(heights), max(heights)
    if odd:
        plot.scatter(odd, [low] * len(odd), marker="x", color="red" if colored else None)
    _label_axes(plot, _span(drawn.values()), (low, high), log_scale, lines_high)
    plot.title(_title(title, of, drawn.values(), scale, log_scale, below, smooth))
    plot.xlabel(x_label)
    text = plot.build()
    console().file.write((text if colored else plot.uncolorize(text)).rstrip("\n") + "\n")
    if len(lines) > 1:
        _print_legend(marks, min(size.columns, 160))


def _new_plot(width: int, height: int) -> Any:
    plot: Any = plotext
    plot.clear_figure()
    plot.plotsize(width, height)
    plot.theme("clear")
    return plot


def _marks(labels: Sequence[str], colored: bool) -> dict[str, tuple[int | None, str]]:
    """A color and a letter for each line; a letter only where colors do not tell them apart."""
    with_letters = len(labels) > 1 and (not colored or len(labels) > len(_COLORS))
    return {
        label: (
            _COLORS[number % len(_COLORS)] if colored else None,
            _LETTERS[number % len(_LETTERS)] if with_letters else "",
        )
        for number, label in enumerate(labels)
    }


def _pieces(
    curve: Curve, scale: float, log_scale: bool
) -> Iterable[tuple[list[float], list[float]]]:
    """The pieces of a curve as the chart draws them."""
    for xs, ys in curve.pieces():
        points = list(zip(xs, ys, strict=True))
        if log_scale:
            points = [(x, math.log10(y)) for x, y in points if y > 0]
        if points:
            yield [x for x, _ in points], [y / scale for _, y in points]


def _span(curves: Iterable[Curve]) -> tuple[float, float]:
    every = [x for curve in curves for x in (*curve.x, *curve.odd)]
    return min(every), max(every)


def _label_axes(
    plot: Any, span: tuple[float, float], heights: tuple[float, float], log_scale: bool, lines: int
) -> None:
    first, last = span
    ticks = _even(first, last, 4)
    plot.xticks(ticks, [f"{tick:.0f}" if last - first > 20 else f"{tick:.4g}" for tick in ticks])
    low, high = heights
    count = max(1, min(4, (lines - 4) // _LINES_PER_LABEL))
    if log_scale:
        exponents = _exponents(low, high, count, max(2, min(_MAX_POWERS, (lines - 3) // 2)))
        plot.yticks(exponents, [f"{10.0**exponent:.3g}" for exponent in exponents])
    else:
        values = _even(low, high, count)
        plot.yticks(values, _distinct_numbers(values))


def _even(low: float, high: float, parts: int) -> list[float]:
    if not high > low:
        return [low]
    return [low * (1 - part / parts) + high * (part / parts) for part in range(parts + 1)]


def _distinct_numbers(values: Sequence[float]) -> list[str]:
    """Labels with as few digits as tell them apart."""
    for digits in range(3, 17):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(values):
            return texts
    return [repr(value) for value in values]


def _title(
    title: str,
    of: str,
    curves: Iterable[Curve],
    scale: float,
    log_scale: bool,
    below: int,
    smooth: float,
) -> str:
    remarks = (
        [visible(of)] * bool(of) + ["log scale"] * log_scale + [f"in {scale:g}"] * (scale != 1)
    )
    remarks += [f"smoothed by {smooth:g}"] * (smooth > 0)
    left_out = sum(curve.left_out for curve in curves)
    remarks += [f"{left_out:,} NaN or infinite: x"] * (left_out > 0)
    remarks += [f"{count_of(below, 'point')} not above 0 left out"] * (below > 0)
    return format_text(title, 60) + (f" ({', '.join(remarks)})" if remarks else "")


def _print_legend(marks: Mapping[str, tuple[int | None, str]], width: int) -> None:
    """Prints labels below a chart, in columns, so that they cover nothing and are whole."""
    entries = [
        Text.assemble((marker * 2 or "\u2895\u2895", _style(color)), " ", visible(label))
        for label, (color, marker) in marks.items()
    ]
    widest = max(text_width(entry.plain) for entry in entries) + 2
    columns = max(1, width // widest)
    for start in range(0, len(entries), columns):
        line = Text(overflow="fold")
        for entry in entries[start : start + columns]:
            line.append_text(entry)
            line.append(" " * (widest - text_width(entry.plain)))
        line.rstrip()
        console().print(line)


def _style(color: int | None) -> str:
    return "" if color is None else f"color({color})"


def _exponents(low: float, high: float, parts: int, most: int) -> list[float]:
    """Positions of labels on a logarithmic axis: powers of ten if there are two, else even."""
    powers = range(math.ceil(low), math.floor(high) + 1)
    if len(powers) >= 2:
        return [float(power) for power in powers[:: -(-len(powers) // most)]]
    return _even(low, high, parts)
