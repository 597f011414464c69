"""Charts of curves as a PNG or SVG file."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from expman.cli.output import print_note
from expman.reading.curves import Curve, scale_of
from expman.reading.metric_curves import Lines
from expman.reading.text import format_names, format_text
from expman.shown import count_of

__all__ = ["MAX_CHARTS", "write_png"]

_COLORS = [f"C{number}" for number in range(10)]
_DASHES = ("-", "--", ":", "-.")
MAX_CHARTS = 40
"""matplotlib draws at most 65,536 pixels a side, and nobody looks at more charts."""


def write_png(
    path: str,
    charts: Mapping[str, Lines],
    *,
    log_scale: bool,
    smooth: float = 0.0,
    x_label: str,
) -> None:
    """Draws one chart per metric, with one line per label, and one legend below all charts.

    Args:
        path: the file; an SVG if it ends with .svg, else a PNG.
        charts: the lines of each metric.
        log_scale: draw a logarithmic y axis.
        smooth: weight of a moving average; the curve as it is stands behind it, pale.
        x_label: what the x axis counts.

    Raises:
        click.ClickException: matplotlib is missing, or the file cannot be written.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        message = "a picture needs matplotlib; run: pip install 'expman-sidecar[cli]'"
        raise click.ClickException(message) from None
    shown = dict(list(charts.items())[:MAX_CHARTS])
    if len(shown) < len(charts):
        left = format_names(list(charts)[MAX_CHARTS:])
        print_note(f"not drawn: {left}; name the metrics to plot")
    labels = list(dict.fromkeys(label for lines in shown.values() for label in lines.curves))
    columns = 1 if len(shown) < 3 else 2
    rows = -(-len(shown) // columns)
    has_legend = any(len(lines.curves) > 1 for lines in shown.values())
    legend_columns, legend_height = _legend_size(labels, 7 * columns) if has_legend else (1, 0.0)
    figure = Figure(figsize=(7 * columns, 3.2 * rows + legend_height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    styles = {label: _style(number) for number, label in enumerate(labels)}
    drawn: dict[str, Any] = {}
    for axis, (metric, lines) in zip(axes, shown.items(), strict=False):
        drawn |= _draw(axis, metric, lines, styles, log_scale=log_scale, smooth=smooth)
        axis.set_xlabel(x_label)
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    if has_legend:
        # The blank: matplotlib leaves out labels that begin with an underscore.
        texts = [f" {format_text(label, 80)}" for label in drawn]
        place = {"loc": "outside lower center", "ncols": legend_columns, "fontsize": "small"}
        for text in figure.legend(list(drawn.values()), texts, **place).get_texts():
            text.set_parse_math(False)
    kind = "svg" if path.lower().endswith(".svg") else "png"
    try:
        with rc_context({"text.usetex": False}), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a name in a script that the font does not have
            figure.savefig(path, format=kind, dpi=120)
    except OSError as exc:
        raise click.ClickException(f"cannot write {path}: {exc.strerror}") from exc


def _legend_size(labels: Sequence[str], width_in: float) -> tuple[int, float]:
    """How many columns a legend has, and its height in inches."""
    longest = max(min(len(label), 80) for label in labels)
    columns = max(1, min(len(labels), int(width_in / (longest * 0.075 + 0.6))))
    return columns, 0.2 * -(-len(labels) // columns) + 0.2


def _style(number: int) -> dict[str, Any]:
    """A color and a dash for a line: thirty lines look different."""
    return {"color": _COLORS[number % len(_COLORS)], "linestyle": _DASHES[number // 10 % 4]}


def _draw(
    axis: Any,
    metric: str,
    several: Lines,
    styles: Mapping[str, dict[str, Any]],
    *,
    log_scale: bool,
    smooth: float,
) -> dict[str, Any]:
    """Draws the curves of a metric; returns a line for each label."""
    lines = several.curves
    scale = 1.0 if log_scale else scale_of(lines.values())
    drawn = {}
    for label, raw in lines.items():
        curve = raw.smoothed(smooth)
        if smooth:
            for x, y in raw.pieces():
                axis.plot(x, [v / scale for v in y], linewidth=1, alpha=0.25, **styles[label])
        for x, y in curve.pieces() or [([], [])]:
            marker = "." if len(x) == 1 else None
            values = [v / scale for v in y]
            drawn[label] = axis.plot(x, values, linewidth=1.4, marker=marker, **styles[label])[0]
        if curve.odd:
            # At the bottom, whatever the range of y is.
            place = {"transform": axis.get_xaxis_transform(), "clip_on": False}
            color = styles[label]["color"]
            odd = list(curve.odd)
            axis.plot(odd, [0.02] * len(odd), "x", color=color, markersize=5, **place)
    remarks = [several.of] * bool(several.of)
    remarks += [f"in {scale:g}"] * (scale != 1) + [f"smoothed by {smooth:g}"] * (smooth > 0)
    left_out = sum(curve.left_out for curve in lines.values())
    remarks += [f"{left_out:,} NaN or infinite: ×"] * (left_out > 0)
    if log_scale:
        below = sum(y <= 0 for curve in lines.values() for y in curve.y)
        remarks += [f"{count_of(below, 'point')} not above 0 left out"] * (below > 0)
        axis.set_yscale("log", nonpositive="mask")
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.yaxis.set_minor_formatter(_minor_label(lines.values()))
    title = format_text(metric, 80) + (f" ({', '.join(remarks)})" if remarks else "")
    axis.set_title(title, parse_math=False)
    axis.grid(alpha=0.3)
    return drawn


def _minor_label(curves: Iterable[Curve]) -> Callable[[float, object], str]:
    """Labels between powers of ten, where the range has no two of them."""
    values = [y for curve in curves for y in curve.y if y > 0]
    is_narrow = bool(values) and math.log10(max(values)) - math.log10(min(values)) < 1
    return lambda value, _: f"{value:g}" if is_narrow else ""
