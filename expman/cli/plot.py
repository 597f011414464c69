"""`expman plot`: plots metrics of one run, in the terminal or to a PNG or SVG file."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

import click

from expman.cli.charts import SMOOTH_HELP, print_chart
from expman.cli.output import print_line, print_note
from expman.cli.png import MAX_CHARTS, write_png
from expman.cli.runs import base_dir_option, find_run, mistakes_of, run_argument
from expman.metadata import RunMetadata
from expman.reading.metric_curves import MANY_LINES, Lines, metric_lines
from expman.reading.producer_rows import ProducerChoice
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
@click.option(
    "--rank", "ranks", type=click.IntRange(0), multiple=True, help="Only this rank; repeatable."
)
@click.option(
    "--producer",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only this process, as _producer names it: 'worker-*'; repeatable.",
)
@click.option(
    "--by",
    type=click.Choice(["process", "band"]),
    help="Of several processes: a line for each, or the greatest, the median and the least value.  "
    f"[default: process for up to {MANY_LINES}]",
)
@base_dir_option
def command(
    run: str,
    metrics: tuple[str, ...],
    system: bool,
    output: str | None,
    log_scale: bool,
    smooth: float | None,
    height: int | None,
    ranks: tuple[int, ...],
    names: tuple[str, ...],
    by: Literal["process", "band"] | None,
    base_dir: str,
) -> None:
    """Plots METRICs of RUN over its steps, or its first numeric metrics.

    A METRIC may be a pattern: 'train/*'.

    Without METRICs, the terminal shows 4 and a file 40. Where there are more rows than points, a
    point is the mean of neighbouring rows. A curve has a gap and a cross where a value is NaN or
    infinite; the title has their number.

    Where several ranks, or other processes, have logged a metric, each has a line. More than 8
    are drawn as a band: for each step the greatest, the median and the least value of them. The
    title says which.

    With --system, the x axis has minutes. Without METRICs, processors, memory and GPUs are shown;
    `gpu.*.util_pct` shows all GPUs in one chart.
    """
    found = find_run(run, base_dir)
    if system and (ranks or names or by):
        raise click.UsageError("--rank, --producer and --by choose among rows: leave out --system")
    x_label = "minutes" if system else "step"
    who = _Who(by, ProducerChoice(ranks, names))
    charts, left = (
        _machine(found, metrics) if system else _metrics(found, metrics, who, to_file=bool(output))
    )
    if output is not None:
        write_png(output, charts, log_scale=log_scale, smooth=smooth or 0.0, x_label=x_label)
        print_line(output)
    else:
        for name, lines in charts.items():
            print_chart(
                name,
                lines.curves,
                of=lines.of,
                log_scale=log_scale,
                height=height,
                smooth=smooth or 0.0,
                x_label=x_label,
            )
    if left:
        print_note(f"not shown: {format_names(left)}; name the metrics to plot")


class _Who(NamedTuple):
    """Whose lines a chart has."""

    by: Literal["process", "band"] | None
    choice: ProducerChoice


def _machine(found: Run, wanted: tuple[str, ...]) -> tuple[dict[str, Lines], list[str]]:
    """The charts of the machine; what is left out is none."""
    if not found.system(last=0).column_names[2:]:  # besides step and timestamp
        raise click.ClickException(
            f"run {found.path} has no samples of the machine; system_metrics_interval_secs=15 "
            "records them"
        )
    with mistakes_of(columns="METRIC"):
        charts = system_curves(found.path, wanted, points=POINTS)
    return {name: Lines(drawn, "") for name, drawn in charts.items()}, []


def _metrics(
    found: Run, metrics: tuple[str, ...], who: _Who, *, to_file: bool
) -> tuple[dict[str, Lines], list[str]]:
    """The charts of metrics, and the metrics that are left out."""
    known = found.metrics
    metrics = tuple(dict.fromkeys(name for one in metrics for name in _meant(one, known)))
    names = list(metrics) or known
    wanted = MAX_CHARTS if to_file else SHOWN
    with mistakes_of(columns="METRIC", ranks="--rank", producers="--producer"):
        drawn = _first(found, names, len(names) if metrics else wanted, who)
    if not drawn:
        raise click.ClickException(f"run {found.path} has no numbers to plot")
    for name in metrics:
        if name not in drawn:
            print_note(f"metric {name!r} has no numbers to plot")
    meta = found.metadata
    if meta.attempt > 1:
        print_note(_attempt(meta))
    left = [] if metrics else names[names.index(list(drawn)[-1]) + 1 :]
    return {name: _labelled(name, lines) for name, lines in drawn.items()}, left


def _labelled(name: str, lines: Lines) -> Lines:
    """A single line has the metric's name, whoever has logged it."""
    if len(lines.curves) > 1:
        return lines
    (curve,) = lines.curves.values()
    return lines._replace(curves={name: curve})


def _attempt(meta: RunMetadata) -> str:
    """Says how a run went on: what its curves have more than once, and what they lack."""
    if meta.from_step is None:
        return f"attempt {meta.attempt} had no from_step: steps that it repeats are there twice"
    text = f"attempt {meta.attempt} begins at step {meta.from_step:,}"
    superseded = count_of(meta.rows_superseded, "row is superseded", "rows are superseded")
    return f"{text}; {superseded}" if meta.rows_superseded else text


def _meant(name: str, known: Sequence[str]) -> Sequence[str]:
    """The metrics that a name means: itself, or those that fit it as a pattern."""
    if name in known or not set(name) & set("*?["):
        return [name]
    return [one for one in known if fnmatchcase(one, name)] or [name]


def _first(run: Run, names: Sequence[str], count: int, who: _Who) -> dict[str, Lines]:
    """Reads the curves of the first metrics that have numbers, a few columns at a time."""
    drawn: dict[str, Lines] = {}
    for start in range(0, len(names), _PIECE):
        if len(drawn) >= count:
            break
        some = names[start : start + _PIECE]
        drawn |= metric_lines(run.path, some, points=POINTS, by=who.by, choice=who.choice)
    return dict(list(drawn.items())[:count])
