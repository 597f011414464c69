"""Charts of curves in the terminal."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from typing import Any

import plotext

from expman.cli.output import console, print_note
from expman.reading.curves import Curve, scale_of
from expman.reading.text import format_text, visible

__all__ = ["print_chart"]

_COLORS = ("blue", "orange", "green", "red", "magenta", "cyan")
_LABEL_WIDTH = 24
_MAX_POWERS = 6
"""Labels of a logarithmic axis; of more powers every other, third, … has one."""


def print_chart(
    title: str,
    lines: Mapping[str, Curve],
    *,
    log_scale: bool,
    height: int | None = None,
    x_label: str,
) -> None:
    """Prints a chart with one line per label, as wide as the terminal.

    The title has the number of values that are NaN or infinite, which no chart can show.
    """
    if not any(_points(curve, log_scale) for curve in lines.values()):
        what = "number above 0" if log_scale else "finite number"
        print_note(f"{format_text(title, 60)} has no {what}: nothing to plot")
        return
    plot: Any = plotext
    plot.clear_figure()
    size = shutil.get_terminal_size((80, 24))
    plot.plotsize(min(size.columns, 160), height or max(10, min(20, size.lines // 2)))
    plot.theme("clear")
    colored = console().color_system is not None
    scale = 1.0 if log_scale else scale_of(lines.values())
    for number, (label, curve) in enumerate(lines.items()):
        points = [(x, y / scale) for x, y in _points(curve, log_scale)]
        if not points:
            continue
        x, y = zip(*points, strict=True)
        shown = visible(label)
        short = shown if len(shown) <= _LABEL_WIDTH else shown[: _LABEL_WIDTH - 1] + "…"
        plot.plot(
            x,
            y,
            marker="braille",
            label=short if len(lines) > 1 else None,
            color=_COLORS[number % len(_COLORS)] if colored else None,
        )
    low = min((min(curve.x) for curve in lines.values() if curve.x), default=0.0)
    high = max((max(curve.x) for curve in lines.values() if curve.x), default=1.0)
    ticks = [low + (high - low) * part / 4 for part in range(5)] if high > low else [low]
    plot.xticks(ticks, [f"{tick:.0f}" if high - low > 20 else f"{tick:.4g}" for tick in ticks])
    if log_scale:
        exponents = _exponents([y for curve in lines.values() for _, y in _points(curve, True)])
        plot.yticks(exponents, [f"{10.0**exponent:.3g}" for exponent in exponents])
    remarks = ["log scale"] * log_scale + [f"in {scale:g}"] * (scale != 1)
    remarks += sorted({c.remark for c in lines.values() if c.remark})
    plot.title(format_text(title, 60) + (f" ({', '.join(remarks)})" if remarks else ""))
    plot.xlabel(x_label)
    text = plot.build()
    console().file.write((text if colored else plot.uncolorize(text)) + "\n")


def _exponents(logarithms: list[float]) -> list[float]:
    """Positions of labels on a logarithmic axis: powers of ten if there are two, else even."""
    low, high = min(logarithms), max(logarithms)
    powers = range(math.ceil(low), math.floor(high) + 1)
    if len(powers) >= 2:
        return [float(power) for power in powers[:: -(-len(powers) // _MAX_POWERS)]]
    return [low + (high - low) * part / 4 for part in range(5)] if high > low else [low]


def _points(curve: Curve, log_scale: bool) -> list[tuple[float, float]]:
    points = list(zip(curve.x, curve.y, strict=True))
    return [(x, math.log10(y)) for x, y in points if y > 0] if log_scale else points
