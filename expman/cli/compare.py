"""`expman compare`: what differs between runs."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from expman.cli.charts import print_chart
from expman.cli.output import console, note, print_json
from expman.cli.png import write_png
from expman.cli.runs import base_dir_option, find_run, run_argument
from expman.reading.curves import Curve, curves, spark
from expman.reading.rich_view import status_text
from expman.reading.run import Run, flat_config
from expman.reading.text import number, span

__all__ = ["command"]

POINTS = 400


@click.command("compare", short_help="Compare runs: parameters that differ, values, curves.")
@run_argument("runs", nargs=-1)
@click.option("--metric", "-m", "metrics", multiple=True, help="Plot this metric; repeatable.")
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="Plot to a PNG.")
@click.option("--log", "log_scale", is_flag=True, help="Logarithmic y axis.")
@click.option("--all-params", is_flag=True, help="Show parameters that are the same, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@base_dir_option
def command(
    runs: tuple[str, ...],
    metrics: tuple[str, ...],
    output: str | None,
    log_scale: bool,
    all_params: bool,
    as_json: bool,
    base_dir: str,
) -> None:
    """Compares RUNs: the parameters that differ, the latest values and, with -m, the curves.

    -o writes the curves to a PNG: those of -m, or of all metrics that the runs share.
    """
    if len(runs) < 2:
        raise click.UsageError("name at least two runs")
    found = [find_run(run, base_dir) for run in runs]
    names = _labels(found)
    params = _rows([flat_config(run.config) for run in found])
    if not all_params:
        params = {key: values for key, values in params.items() if _differ(values)}
    latest = _rows([{**run.scalars, **run.latest} for run in found])
    if as_json:
        print_json(
            {
                "runs": [
                    {"run": name, "path": run.path} for name, run in zip(names, found, strict=True)
                ],
                "params": params,
                "latest": latest,
            }
        )
        return
    drawn = _curves(found, names)
    if output is not None:
        shared = [name for name, lines in drawn.items() if len(lines) > 1]
        charts = {name: drawn[name] for name in metrics or shared if name in drawn}
        if not charts:
            raise click.ClickException("these runs share no metric that is a number")
        write_png(output, charts, log_scale=log_scale, x_label="step")
        click.echo(output)
        return
    title = "parameters" if all_params else "parameters that differ"
    sections = {title: params, "latest values": latest}
    console().print(_table(found, names, sections, drawn))
    for name in metrics:
        if name in drawn:
            print_chart(name, drawn[name], log_scale=log_scale, x_label="step")
        else:
            note(f"{name} has no numbers to plot")


def _labels(runs: list[Run]) -> list[str]:
    """Run names; with the experiment where runs of several are compared."""
    if len({run.name for run in runs}) == len(runs) and len({run.experiment for run in runs}) == 1:
        return [run.name for run in runs]
    labels = [f"{run.experiment}/{run.name}" for run in runs]
    return labels if len(set(labels)) == len(labels) else [run.path for run in runs]


def _rows(mappings: list[dict[str, object]]) -> dict[str, list[object]]:
    keys = dict.fromkeys(key for mapping in mappings for key in mapping)
    return {key: [mapping.get(key) for mapping in mappings] for key in keys}


def _differ(values: list[object]) -> bool:
    return any(value != values[0] or type(value) is not type(values[0]) for value in values)


def _curves(runs: list[Run], names: list[str]) -> dict[str, dict[str, Curve]]:
    drawn: dict[str, dict[str, Curve]] = {}
    for name, run in zip(names, runs, strict=True):
        for metric, curve in curves(run, points=POINTS, last=None).items():
            drawn.setdefault(metric, {})[name] = curve
    return drawn


def _table(
    runs: list[Run],
    names: list[str],
    sections: dict[str, dict[str, list[object]]],
    drawn: dict[str, dict[str, Curve]],
) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", overflow="fold")
    for name in names:
        table.add_column(name, overflow="fold")
    table.add_row("status", *(status_text(run) for run in runs))
    table.add_row("took", *(span(run.duration) for run in runs))
    for title, rows in sections.items():
        if rows:
            table.add_section()
            table.add_row(Text(title, "italic"))
        for key, values in rows.items():
            table.add_row(f"  {key}", *(Text(number(value)) for value in values))
            if title == "latest values" and key in drawn:
                lines = [drawn[key].get(name) for name in names]
                table.add_row("", *(spark(line.y, 12) if line else "" for line in lines))
    return table
