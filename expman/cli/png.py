"""Charts of curves as a PNG file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import click

from expman.cli.output import print_note
from expman.reading.curves import Curve, scale_of
from expman.reading.text import format_names, format_text

__all__ = ["MAX_CHARTS", "write_png"]

MAX_CHARTS = 40
"""matplotlib draws at most 65,536 pixels a side, and nobody looks at more charts."""


def write_png(
    path: str, charts: Mapping[str, Mapping[str, Curve]], *, log_scale: bool, x_label: str
) -> None:
    """Draws one chart per metric, with one line per label.

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
    columns = 1 if len(shown) < 3 else 2
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(7 * columns, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis, (metric, lines) in zip(axes, shown.items(), strict=False):
        _draw(axis, metric, lines, log_scale)
        axis.set_xlabel(x_label)
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    try:
        with rc_context({"text.usetex": False}), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a name in a script that the font does not have
            figure.savefig(path, format="png", dpi=120)
    except OSError as exc:
        raise click.ClickException(f"cannot write {path}: {exc.strerror}") from exc


def _draw(axis: Any, metric: str, lines: Mapping[str, Curve], log_scale: bool) -> None:
    scale = 1.0 if log_scale else scale_of(lines.values())
    drawn = [
        axis.plot(curve.x, [y / scale for y in curve.y], linewidth=1.4)[0]
        for curve in lines.values()
    ]
    remarks = [f"in {scale:g}"] * (scale != 1)
    remarks += sorted({curve.remark for curve in lines.values() if curve.remark})
    title = format_text(metric, 80) + (f" ({', '.join(remarks)})" if remarks else "")
    axis.set_title(title, parse_math=False)
    axis.grid(alpha=0.3)
    if log_scale:
        axis.set_yscale("log")
    if len(lines) > 1:
        # The blank: matplotlib leaves out labels that begin with an underscore.
        labels = [f" {format_text(label, 80)}" for label in lines]
        for text in axis.legend(drawn, labels, fontsize="small").get_texts():
            text.set_parse_math(False)
