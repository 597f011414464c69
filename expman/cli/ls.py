"""`expman ls`: lists runs or experiments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click
from rich.table import Table

from expman.cli.output import console, print_json, print_note, run_record
from expman.cli.runs import (
    base_dir_option,
    check_experiment,
    mistakes_of,
    where_option,
    why_no_runs,
)
from expman.errors import ExpmanError
from expman.models import RunStatus
from expman.reading import find
from expman.reading.fields import check_fields, fact_of, known_value, known_values
from expman.reading.formats import format_age
from expman.reading.rich_cells import cell
from expman.reading.run import Run
from expman.reading.runs_table import runs_view
from expman.shown import count_of

__all__ = ["command"]

_SHOWN = ("experiment", "run", "status", "started_at", "duration_s")
"""Columns that every list has."""


@click.command("ls", short_help="List runs, newest first.")
@click.argument("experiment", required=False, metavar="[EXPERIMENT|URL]")
@click.option("--experiments", "-e", is_flag=True, help="List experiments instead of runs.")
@click.option(
    "--status",
    "-s",
    multiple=True,
    type=click.Choice([*RunStatus], case_sensitive=False),
    help="Only runs with this status; repeatable.",
)
@click.option("--tags", "-t", help="Only runs with these tags: 'a AND (b OR c)'.")
@click.option("--group", "-g", help="Only runs of this group.")
@click.option("--since", help="Only runs that began since: 12h (ago), 7d, 2026-01-31.")
@where_option
@click.option("--sort", help="Sort by a column, best first: loss:min, accuracy:max, lr, took.")
@click.option("--reverse", "-r", is_flag=True, help="Reverse the order.")
@click.option(
    "--column", "-c", "columns", multiple=True, help="Show a column, as in --sort; repeatable."
)
@click.option("--columns", "several", metavar="NAME,NAME…", help="Show several columns.")
@click.option("--limit", "-n", type=click.IntRange(0), help="Maximum number of runs; 0 for all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@base_dir_option
def command(
    experiment: str | None,
    experiments: bool,
    status: tuple[str, ...],
    tags: str | None,
    group: str | None,
    since: str | None,
    where: str | None,
    sort: str | None,
    reverse: bool,
    columns: tuple[str, ...],
    several: str | None,
    limit: int | None,
    as_json: bool,
    base_dir: str,
) -> None:
    """Lists the runs of all experiments, or of EXPERIMENT, newest first.

    URL is that of a copy that `expman mirror` made: s3://BUCKET/PREFIX. A terminal shows 20 runs
    unless --limit is given; pipes and JSON get all.

    A column is a fact (status, group, project, started, took, rows, host, …), a parameter, a
    scalar, a metric (its last value), or METRIC:min, METRIC:max, METRIC:last.
    """
    if experiment is not None and "://" in experiment:
        base_dir, experiment = experiment, None
    if experiment is not None:
        check_experiment(experiment, base_dir)
    names = [name.strip() for name in (several or "").split(",")]
    columns = (*columns, *(name for name in names if name))
    with mistakes_of(tags="--tags", since="--since", where="--where"):
        found = find.runs(base_dir, experiment, status or None, tags, group, since, where)
    found.settle()
    for path, error in found.unreadable:
        print_note(f"cannot read run {path}: {' '.join(str(error).split())}")
    if experiments:
        _experiments(found, as_json)
        return
    if sort is not None:
        with mistakes_of(columns="--sort"):  # runs without a value come last in both directions
            found = found.sorted_by(sort, reverse=sort.endswith(":max") != reverse)
        if not as_json and sort not in columns and (fact_of(sort) or sort) not in _SHOWN:
            columns = (sort, *columns)
    elif reverse:
        found = find.RunList(reversed(found), found.unreadable)
    if found:
        with mistakes_of(columns="--column"):
            check_fields(found, columns)
    if limit is None:
        limit = 20 if console().is_terminal and not as_json else 0
    shown = found[:limit] if limit else found
    if not found:
        some_unreadable = bool(found.unreadable)
        print_note(why_no_runs(experiment, base_dir, some_unreadable=some_unreadable))
    if as_json:
        print_json([facts for run in shown if (facts := _facts(run, columns)) is not None])
        return
    if not found:
        return
    console().print(runs_view(shown.listed(), _values(shown, columns)))
    if len(shown) < len(found):
        more = count_of(len(found) - len(shown), "more run")
        print_note(f"{more}; show all with --limit 0")


def _values(runs: find.RunList, columns: Sequence[str]) -> dict[str, list[object]] | None:
    """Values of the requested columns; None if none were requested."""
    if not columns:
        return None
    lines = list(known_values(runs, columns))
    return {column: [line[place] for line in lines] for place, column in enumerate(columns)}


def _facts(run: Run, columns: Sequence[str]) -> dict[str, object] | None:
    try:
        facts = run_record(run)
        if columns:
            facts["columns"] = {column: known_value(run, column) for column in columns}
        return facts
    except ExpmanError as exc:
        print_note(f"cannot read run {run._place}: {' '.join(str(exc).split())}")
        return None


def _experiments(found: find.RunList, as_json: bool) -> None:
    names = dict.fromkeys(run.experiment for run in found)
    lines = []
    for name in names:
        runs = [run for run in found if run.experiment == name]
        counts = Counter(str(run.status) for run in runs)
        lines.append((name, len(runs), counts, runs[0].started_at))
    if as_json:
        print_json(
            [
                {"experiment": name, "runs": runs, "status": counts, "latest_at": latest}
                for name, runs, counts, latest in lines
            ]
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("experiment", overflow="fold")
    for title in ("runs", "running", "failed", "latest"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, number, counts, latest in lines:
        failed = counts["FAILED"] + counts["CRASHED"]
        numbers = map(str, (number, counts["RUNNING"], failed))
        table.add_row(cell(name), *numbers, format_age(latest))
    console().print(table)
