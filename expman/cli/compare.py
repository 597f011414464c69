"""`expman compare`: the differences between runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click
from rich.table import Table
from rich.text import Text

from expman.cli.charts import SMOOTH_HELP, print_chart
from expman.cli.compare_many import print_many, sorted_runs
from expman.cli.output import console, print_json, print_line, print_note
from expman.cli.png import write_png
from expman.cli.runs import base_dir_option, chosen_runs, where_option
from expman.reading.columns import no_such_column
from expman.reading.columns_view import text_width
from expman.reading.curves import Curve, spark
from expman.reading.differences import ABSENT, differ, distinct
from expman.reading.formats import format_duration
from expman.reading.metric_curves import Lines, curves
from expman.reading.params import flat_params
from expman.reading.provenance import PACKAGES, differing_provenance
from expman.reading.rich_cells import cell, status_text
from expman.reading.run import Run
from expman.reading.text import format_name
from expman.shown import count_of

__all__ = ["command"]

POINTS = 400
MAX_LATEST = 100
MAX_PACKAGES = 10
_LEAST_NAME, _LEAST_TITLE, _BARS = 12, 14, 12
FEW = 5
"""So many runs are shown side by side; of more, each has a line."""


@click.command("compare", short_help="Compare runs: parameters that differ, values, curves.")
@click.argument("runs", nargs=-1, metavar="RUN…")
@where_option
@click.option("--sort", help="Sort the runs: loss:min, accuracy:max, lr.")
@click.option("--metric", "-m", "metrics", multiple=True, help="Plot this metric; repeatable.")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False), help="Write curves to a PNG or SVG file."
)
@click.option("--log", "log_scale", is_flag=True, help="Logarithmic y axis.")
@click.option("--smooth", type=click.FloatRange(0, 1, max_open=True), help=SMOOTH_HELP)
@click.option("--all-params", is_flag=True, help="Also show parameters that do not differ.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@base_dir_option
def command(
    runs: tuple[str, ...],
    where: str | None,
    sort: str | None,
    metrics: tuple[str, ...],
    output: str | None,
    log_scale: bool,
    smooth: float | None,
    all_params: bool,
    as_json: bool,
    base_dir: str,
) -> None:
    """Compares RUNs: parameters, code and packages that differ, latest values; with -m, curves.

    A RUN may be the name of an experiment, which stands for all of its runs; --where chooses among
    them, or among all. Of more than five runs, each has a line, the best one first: by --sort, else
    by a loss, an accuracy or the like, of held-out data if there is one. A note says by which.

    -o writes curves to a PNG or SVG file: those of -m, or of all metrics that the runs share.
    """
    found = chosen_runs(runs, where, base_dir)
    if not found or (len(found) < 2 and len(runs) < 2):
        raise click.UsageError(
            "compare needs at least two runs: name them, name an experiment, or give --where"
        )
    if len(found) < 2:
        print_note("all of these are one run; nothing differs")
    _check_metrics(found, metrics)
    if sort is not None:
        found = sorted_runs(found, sort)
    names = _labels(found)
    params = _rows([flat_params(run.config) for run in found])
    if not all_params:
        params = {key: values for key, values in params.items() if differ(values)}
    if as_json:
        _print_json(found, names, params)
        return
    if output is not None:
        drawn = _curves(found, names, metrics or None)
        shared = [name for name, lines in drawn.items() if len(lines) > 1]
        chosen = [name for name in metrics or shared if name in drawn]
        charts = {name: Lines(drawn[name], _of(drawn[name])) for name in chosen}
        if not charts:
            raise click.ClickException("the runs share no numeric metric; choose metrics with -m")
        write_png(output, charts, log_scale=log_scale, smooth=smooth or 0.0, x_label="step")
        print_line(output)
        return
    if len(found) > FEW or not _side_by_side(found, names, params, all_params):
        print_many(found, params, sort, metrics)
    drawn = _curves(found, names, metrics) if metrics else {}
    for name in metrics:
        if name in drawn:
            print_chart(
                name,
                drawn[name],
                of=_of(drawn[name]),
                log_scale=log_scale,
                smooth=smooth or 0.0,
                x_label="step",
            )
        else:
            print_note(f"metric {name!r} has no numbers to plot")


def _check_metrics(runs: Sequence[Run], metrics: Sequence[str]) -> None:
    """Checks that each metric is one of a run's.

    Raises:
        click.UsageError: one is not; the message suggests a name that resembles it.
    """
    known = list(dict.fromkeys(name for run in runs for name in run.metrics)) if metrics else []
    missing = [name for name in metrics if name not in known]
    if missing:
        raise click.UsageError(no_such_column("no run has a metric", missing, known).rule)


def _of(drawn: Mapping[str, Curve]) -> str:
    """What the curves are of, where some runs have several processes."""
    found = {curve.of for curve in drawn.values()}
    return found.pop() if len(found) == 1 else "of each run the median of its processes"


def _latest(runs: Sequence[Run]) -> dict[str, list[object]]:
    return _rows([{**run.scalars, **run.latest} for run in runs])


def _print_json(runs: list[Run], names: list[str], params: dict[str, list[object]]) -> None:
    print_json(
        {
            "runs": [
                {"run": name, "path": run.path} for name, run in zip(names, runs, strict=True)
            ],
            "params": _plain(params),
            "provenance": _plain(differing_provenance([run.path for run in runs])),
            "latest": _plain(_latest(runs)),
        }
    )


def _side_by_side(
    found: list[Run], names: list[str], params: dict[str, list[object]], all_params: bool
) -> bool:
    """Shows a column for each run; False if the terminal has no room for that."""
    latest = _latest(found)
    title = "parameters" if all_params else "parameters that differ"
    shown = dict(list(latest.items())[:MAX_LATEST])
    origins = differing_provenance([run.path for run in found])
    packages = {key: origins[key] for key in origins if key.startswith(PACKAGES)}
    others = {key: values for key, values in origins.items() if key not in packages}
    # Other versions say more than packages that one environment has and another one has not.
    ranked = sorted(packages, key=lambda name: ABSENT in packages[name])
    few = {name: packages[name] for name in ranked[:MAX_PACKAGES]}
    sections = {title: params, "provenance that differs": {**others, **few}, "latest values": shown}
    if not _fits(names, {**params, **shown}):
        return False
    drawn = _curves(found, names, list(shown))
    if len(few) < len(packages):
        count = len(packages) - len(few)
        only = sum(ABSENT in values for values in packages.values())
        which = f", {only} of all are in some of the environments alone" if only else ""
        differs = count_of(count, "more package differs and is", "more packages differ and are")
        print_note(f"{differs} not shown{which}; --json prints all")
    console().print(_table(found, names, sections, drawn))
    if len(shown) < len(latest):
        more = count_of(len(latest) - len(shown), "more latest value is", "more latest values are")
        print_note(f"{more} not shown; --json prints all")
    return True


def _fits(names: list[str], rows: dict[str, list[object]]) -> bool:
    """Whether names of runs and numbers need not be broken."""
    numbers = [
        [text for text, value in zip(distinct(values), values, strict=True) if _is_number(value)]
        for values in rows.values()
    ]
    widest = max((text_width(text) for texts in numbers for text in texts), default=0)
    columns = sum(max(widest, min(text_width(name), _LEAST_NAME), _BARS) + 2 for name in names)
    return columns + _LEAST_TITLE <= console().width


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _labels(runs: list[Run]) -> list[str]:
    """Labels the runs by name, by experiment and name, or by path, whichever is unique."""
    if len({run.name for run in runs}) == len(runs) and len({run.experiment for run in runs}) == 1:
        return [run.name for run in runs]
    labels = [f"{run.experiment}/{run.name}" for run in runs]
    return labels if len(set(labels)) == len(labels) else [run.path for run in runs]


def _rows(mappings: list[dict[str, object]]) -> dict[str, list[object]]:
    keys = dict.fromkeys(key for mapping in mappings for key in mapping)
    return {key: [mapping.get(key, ABSENT) for mapping in mappings] for key in keys}


def _plain(rows: dict[str, list[object]]) -> dict[str, list[object]]:
    return {
        key: [None if value is ABSENT else value for value in values]
        for key, values in rows.items()
    }


def _curves(
    runs: list[Run], names: list[str], metrics: Sequence[str] | None
) -> dict[str, dict[str, Curve]]:
    """Reads the curves of these metrics, or of all, from the runs that have them."""
    wanted = None if metrics is None else set(metrics)
    drawn: dict[str, dict[str, Curve]] = {}
    for name, run in zip(names, runs, strict=True):
        chosen = [metric for metric in run.metrics if wanted is None or metric in wanted]
        for metric, curve in curves(run.path, chosen, points=POINTS, last=None).items():
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
        table.add_column(cell(name), overflow="fold")
    table.add_row("status", *(status_text(run.status) for run in runs))
    table.add_row("took", *(format_duration(run.duration) for run in runs))
    for title, rows in sections.items():
        if rows:
            table.add_section()
            table.add_row(Text(title, "italic"))
        for key, values in rows.items():
            table.add_row(cell(f"  {format_name(key)}"), *map(cell, distinct(values)))
            if title == "latest values" and key in drawn:
                lines = [drawn[key].get(name) for name in names]
                table.add_row("", *(_line(line) if line else "" for line in lines))
    return table


def _line(curve: Curve) -> str:
    return f"{spark(curve.y, 12)} {curve.remark}".strip()
