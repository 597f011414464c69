"""`expman sql`: queries over runs, with DuckDB."""

from __future__ import annotations

import datetime
import sys
from typing import Any, Literal

import click

from expman.cli.missing import needs_extra
from expman.cli.output import console, print_json, print_line, print_note
from expman.cli.runs import base_dir_option, check_experiment, mistakes_of, where_option
from expman.errors import ConfigError
from expman.reading import find
from expman.reading.columns_view import ColumnsView
from expman.reading.differences import distinct
from expman.reading.text import format_text, visible
from expman.shown import count_of

__all__ = ["command"]

_SHOWN = 100
_LONGEST = 100
_ENDINGS: dict[str, Literal["csv", "json", "parquet"]] = {
    "csv": "csv",
    "json": "json",
    "jsonl": "json",
    "parquet": "parquet",
}


@click.command("sql", short_help="Query runs with SQL.")
@click.argument("query")
@click.option("--experiment", "-e", help="Only the runs of this experiment.")
@where_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False),
    help="Write all lines to a file: .parquet, .csv or .jsonl.",
)
@base_dir_option
def command(
    query: str,
    experiment: str | None,
    where: str | None,
    as_json: bool,
    as_csv: bool,
    output: str | None,
    base_dir: str,
) -> None:
    """Runs the SELECT of QUERY over runs, live ones included, in DuckDB's dialect.

    The tables are runs, rows, metrics, params, scalars, system and media. Columns whose names have
    dots, slashes or colons need quotes: 'SELECT run, "params.lr", "loss:min" FROM runs'. Only what
    a query names is read. A query cannot change anything, and reads no other files.

    A terminal shows 100 lines; pipes and files get all.
    """
    ending = (output or "").rpartition(".")[2].lower()
    if output is not None and ending not in _ENDINGS:
        raise click.UsageError("--output must end with .parquet, .csv, .json or .jsonl")
    if experiment is not None:
        check_experiment(experiment, base_dir)
    with mistakes_of(where="--where"):
        found = find.runs(base_dir, experiment, where=where).settle()
    for path, error in found.unreadable:
        print_note(f"cannot read run {path}: {' '.join(str(error).split())}")
    try:
        with needs_extra("sql", "duckdb"):
            table = found.sql(query)
    except ConfigError as exc:
        raise click.ClickException(exc.rule) from None
    if output is not None:
        _write(table, output, _ENDINGS[ending])
        print_line(output)
    elif as_csv:
        _print(table)
    elif as_json:
        print_json(table.to_pylist())
    else:
        _show(table)


def _write(table: Any, path: str, kind: Literal["csv", "json", "parquet"]) -> None:
    from expman.reading.export import write_table

    try:
        with open(path, "wb") as file:
            write_table(table, kind, file)
    except OSError as exc:
        raise click.ClickException(f"cannot write {path}: {exc.strerror}") from exc


def _print(table: Any) -> None:
    from expman.reading.export import write_table

    sys.stdout.flush()
    write_table(table, "csv", sys.stdout.buffer)


def _show(table: Any) -> None:
    limit = _SHOWN if console().is_terminal else table.num_rows
    shown = table.slice(0, limit)
    columns = [distinct([_text(value) for value in column.to_pylist()]) for column in shown.columns]
    lines = list(zip(*columns, strict=True))
    console().print(ColumnsView([visible(name) for name in table.column_names], lines))
    if limit < table.num_rows:
        print_note(
            f"{count_of(table.num_rows - limit, 'more line')}; print all with --csv or -o FILE"
        )


def _text(value: object) -> object:
    if isinstance(value, datetime.datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
    return value if isinstance(value, int | float | None) else format_text(str(value), _LONGEST)
