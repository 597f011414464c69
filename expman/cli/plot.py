"""`expman plot`: curves of one run, in the terminal or as a PNG."""

from __future__ import annotations

from collections.abc import Sequence

import click

from expman.cli.charts import print_chart
from expman.cli.output import note, say
from expman.cli.png import MAX_CHARTS, write_png
from expman.cli.runs import base_dir_option, find_run, run_argument
from expman.reading.curves import Curve, curves
from expman.reading.run import Run
from expman.reading.text import format_names

__all__ = ["command"]

SHOWN = 4
POINTS = 400
_PIECE = 64


@click.command("plot", short_help="Plot metrics in the terminal, or to a PNG with -o.")
@run_argument()
@click.argument("metrics", nargs=-1, metavar="[METRIC]…")
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="Write a PNG instead.")
@click.option("--log", "log_scale", is_flag=True, help="Logarithmic y axis.")
@click.option("--height", type=click.IntRange(5), help="Lines of each chart.")
@base_dir_option
def command(
    run: str,
    metrics: tuple[str, ...],
    output: str | None,
    log_scale: bool,
    height: int | None,
    base_dir: str,
) -> None:
    """Plots METRICs of RUN over its steps; without any, all that are numbers.

    The terminal shows 4 of them unless they are named, a PNG 40. A point is the mean of its
    neighbours where there are more rows than points. The title has the number of values that
    are NaN or infinite.
    """
    found = find_run(run, base_dir)
    names = list(metrics) or found.metrics
    wanted = MAX_CHARTS if output is not None else SHOWN
    drawn = _first(found, names, len(names) if metrics else wanted)
    if not drawn:
        raise click.ClickException(f"{found.path} has no numbers to plot")
    for name in metrics:
        if name not in drawn:
            note(f"{name} has no numbers to plot")
    charts: dict[str, dict[str, Curve]] = {name: {name: curve} for name, curve in drawn.items()}
    if output is not None:
        write_png(output, charts, log_scale=log_scale, x_label="step")
        say(output)
    else:
        for name, lines in charts.items():
            print_chart(name, lines, log_scale=log_scale, height=height, x_label="step")
    left = [] if metrics else names[names.index(list(drawn)[-1]) + 1 :]
    if left:
        note(f"not shown: {format_names(left)}; name the metrics that you want")


def _first(run: Run, names: Sequence[str], count: int) -> dict[str, Curve]:
    """The curves of the first metrics that have numbers; few of many columns are read."""
    drawn: dict[str, Curve] = {}
    for start in range(0, len(names), _PIECE):
        if len(drawn) >= count:
            break
        drawn |= curves(run.path, names[start : start + _PIECE], points=POINTS, last=None)
    return dict(list(drawn.items())[:count])
