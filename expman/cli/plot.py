"""`expman plot`: plots metrics of one run, in the terminal or to a PNG or SVG file."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import click

from expman.cli.charts import SMOOTH_HELP, print_chart
from expman.cli.output import print_line, print_note
from expman.cli.png import MAX_CHARTS, write_png
from expman.cli.runs import base_dir_option, find_run, mistakes_of, run_argument
from expman.reading.curves import Curve, curves
from expman.reading.run import Run
from expman.reading.system_curves import system_curves
from expman.reading.text import format_names
from expman.shown import count_of

__all__ = ["command"]

SHOWN = 4
POINTS = 400
_PIECE = 64


@click.command("plot", short_help="Plot metrics in the terminal, or to a file.")
@run_argument()
@click.argument("metrics", nargs=-1, metavar="[METRIC]…")
@click.option("--system", is_flag=True, help="Plot the machine: METRICs are those of its samples.")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False), help="Write a PNG or SVG file instead."
)
@click.option("--log", "log_scale", is_flag=True, help="Logarithmic y axis.")
@click.option("--smooth", type=click.FloatRange(0, 1, max_open=True), help=SMOOTH_HELP)
@click.option("--height", type=click.IntRange(5), help="Height of each chart, in lines.")
@base_dir_option
def command(
    run: str,
    metrics: tuple[str, ...],
    system: bool,
    output: str | None,
    log_scale: bool,
    smooth: float | None,
    height: int | None,
    base_dir: str,
) -> None:
    """Plots METRICs of RUN over its steps, or its first numeric metrics.

    A METRIC may be a pattern: 'train/*'.

    Without METRICs, the terminal shows 4 and a file 40. Where there are more rows than points, a
    point is the mean of neighbouring rows. A curve has a gap and a cross where a value is NaN or
    infinite; the title has their number.

    With --system, the x axis has minutes. Without METRICs, processors, memory and GPUs are shown;
    `gpu.*.util_pct` shows all GPUs in one chart.
    """
    found = find_run(run, base_dir)
    x_label = "minutes" if system else "step"
    charts, left = _machine(found, metrics) if system else _metrics(found, metrics, output)
    if output is not None:
        write_png(output, charts, log_scale=log_scale, smooth=smooth or 0.0, x_label=x_label)
        print_line(output)
    else:
        for name, lines in charts.items():
            print_chart(
                name,
                lines,
                log_scale=log_scale,
                height=height,
                smooth=smooth or 0.0,
                x_label=x_label,
            )
    if left:
        print_note(f"not shown: {format_names(left)}; name the metrics to plot")


def _machine(found: Run, wanted: tuple[str, ...]) -> tuple[dict[str, dict[str, Curve]], list[str]]:
    """The charts of the machine; what is left out is none."""
    if not found.system(last=0).column_names[2:]:  # besides step and timestamp
        raise click.ClickException(
            f"run {found.path} has no samples of the machine; system_metrics_interval_secs=15 "
            "records them"
        )
    with mistakes_of(columns="METRIC"):
        return system_curves(found.path, wanted, points=POINTS), []


def _metrics(
    found: Run, metrics: tuple[str, ...], output: str | None
) -> tuple[dict[str, dict[str, Curve]], list[str]]:
    """The charts of metrics, and the metrics that are left out."""
    known = found.metrics
    metrics = tuple(dict.fromkeys(name for one in metrics for name in _meant(one, known)))
    names = list(metrics) or known
    wanted = MAX_CHARTS if output is not None else SHOWN
    with mistakes_of(columns="METRIC"):
        drawn = _first(found, names, len(names) if metrics else wanted)
    if not drawn:
        raise click.ClickException(f"run {found.path} has no numbers to plot")
    for name in metrics:
        if name not in drawn:
            print_note(f"metric {name!r} has no numbers to plot")
    meta = found.metadata
    if meta.attempt > 1:
        begins = "" if meta.from_step is None else f" begins at step {meta.from_step:,}"
        superseded = count_of(meta.rows_superseded, "row is superseded", "rows are superseded")
        rest = f"; {superseded}" if meta.rows_superseded else ""
        print_note(f"attempt {meta.attempt}{begins}{rest}")
    left = [] if metrics else names[names.index(list(drawn)[-1]) + 1 :]
    return {name: {name: curve} for name, curve in drawn.items()}, left


def _meant(name: str, known: Sequence[str]) -> Sequence[str]:
    """The metrics that a name means: itself, or those that fit it as a pattern."""
    if name in known or not set(name) & set("*?["):
        return [name]
    return [one for one in known if fnmatchcase(one, name)] or [name]


def _first(run: Run, names: Sequence[str], count: int) -> dict[str, Curve]:
    """Reads the curves of the first metrics that have numbers, a few columns at a time."""
    drawn: dict[str, Curve] = {}
    for start in range(0, len(names), _PIECE):
        if len(drawn) >= count:
            break
        drawn |= curves(run.path, names[start : start + _PIECE], points=POINTS, last=None)
    return dict(list(drawn.items())[:count])
