"""`expman plot`: curves of one run, in the terminal or as a PNG."""

from __future__ import annotations

import click

from expman.cli.charts import print_chart
from expman.cli.output import note
from expman.cli.png import write_png
from expman.cli.runs import base_dir_option, find_run, run_argument
from expman.reading.curves import Curve, curves

__all__ = ["command"]

SHOWN = 4
POINTS = 400


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

    The terminal shows 4 of them unless they are named. A point is the mean of its neighbours
    where there are more rows than points.
    """
    found = find_run(run, base_dir)
    drawn = curves(found, metrics or None, points=POINTS, last=None)
    if not drawn:
        raise click.ClickException(f"{found.path} has no numbers to plot")
    for name in metrics:
        if name not in drawn:
            note(f"{name} has no numbers to plot")
    charts: dict[str, dict[str, Curve]] = {name: {name: curve} for name, curve in drawn.items()}
    if output is not None:
        write_png(output, charts, log_scale=log_scale, x_label="step")
        click.echo(output)
        return
    shown = charts if metrics else dict(list(charts.items())[:SHOWN])
    for name, lines in shown.items():
        print_chart(name, lines, log_scale=log_scale, height=height, x_label="step")
    if len(shown) < len(charts):
        note(f"not shown: {', '.join(name for name in charts if name not in shown)}")
