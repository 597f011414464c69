"""Curves as a PNG."""

from __future__ import annotations

from collections.abc import Mapping

import click

from expman.reading.curves import Curve

__all__ = ["write_png"]


def write_png(
    path: str, charts: Mapping[str, Mapping[str, Curve]], *, log_scale: bool, x_label: str
) -> None:
    """Draws one chart per metric, below each other; each has one line per label.

    Raises:
        click.ClickException: matplotlib is missing, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        message = "a picture needs matplotlib; run: pip install 'expman[cli]'"
        raise click.ClickException(message) from None
    columns = 1 if len(charts) < 3 else 2
    rows = -(-len(charts) // columns)
    figure = Figure(figsize=(7 * columns, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis, (metric, lines) in zip(axes, charts.items(), strict=False):
        for label, curve in lines.items():
            axis.plot(curve.x, curve.y, label=label, linewidth=1.4)
        axis.set_title(metric)
        axis.set_xlabel(x_label)
        axis.grid(alpha=0.3)
        if log_scale:
            axis.set_yscale("log")
        if len(lines) > 1:
            axis.legend(fontsize="small")
    for axis in axes[len(charts) :]:
        axis.set_visible(False)
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as exc:
        raise click.ClickException(f"{path}: {exc.strerror}") from exc
