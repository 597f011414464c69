"""`expman export`: writes a run in another format."""

from __future__ import annotations

import os
import sys
from typing import Literal

import click

from expman.cli.output import print_line, print_note
from expman.cli.runs import base_dir_option, find_run, mistakes_of, run_argument
from expman.exporters.exported import Exported, whole_file
from expman.exporters.mlflow import export_mlflow
from expman.exporters.tensorboard import export_events
from expman.reading.export import write_table
from expman.reading.run import Run
from expman.reading.text import format_text

__all__ = ["command"]

_ROWS = ("csv", "json", "jsonl", "parquet")
_SHOWN_NAMES = 5


@click.command("export", short_help="Write a run as CSV, JSONL, Parquet, TensorBoard, MLflow.")
@run_argument()
@click.option(
    "--format",
    "-f",
    "kind",
    required=True,
    type=click.Choice([*_ROWS, "tensorboard", "mlflow"]),
    help="json and jsonl: one object per line.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(),
    help="File, or a directory for TensorBoard and MLflow; else stdout.",
)
@click.option("--column", "-c", "columns", multiple=True, help="Only this column; repeatable.")
@click.option("--merge-steps", is_flag=True, help="One row per step.")
@base_dir_option
def command(
    run: str,
    kind: str,
    output: str | None,
    columns: tuple[str, ...],
    merge_steps: bool,
    base_dir: str,
) -> None:
    """Writes RUN; of a live run, all that is in its files.

    csv, json, jsonl and parquet have the rows. tensorboard also has parameters, images, sounds and
    histograms; mlflow, a store of files such as mlruns, parameters, tags, artifacts and media. What
    has no place is left out and counted on standard error.
    """
    found = find_run(run, base_dir)
    if kind in ("parquet", "tensorboard", "mlflow") and output is None:
        raise click.UsageError(f"--format {kind} needs --output")
    if kind not in _ROWS:
        assert output is not None
        _show(_export(found, kind, output, columns))
        return
    with mistakes_of(columns="--column"):
        table = found.vectors(columns or None, merge_steps=merge_steps)
    form: Literal["csv", "json", "parquet"] = (
        "csv" if kind == "csv" else "parquet" if kind == "parquet" else "json"
    )
    if output is None:
        if sys.stdout is None:
            raise click.ClickException("standard output is closed; name a file with --output")
        write_table(table, form, sys.stdout.buffer)
        return
    try:
        with whole_file(output) as fd, os.fdopen(fd, "wb", closefd=False) as file:
            write_table(table, form, file)
    except OSError as exc:
        raise click.ClickException(f"cannot write {output}: {exc.strerror}") from exc
    print_line(output)


def _export(run: Run, kind: str, output: str, columns: tuple[str, ...]) -> Exported:
    try:
        if kind == "mlflow":
            if columns:
                raise click.UsageError("--column is for rows and TensorBoard, not for MLflow")
            return export_mlflow(run, output)
        with mistakes_of(columns="--column"):
            return export_events(run, output, columns)
    except OSError as exc:
        raise click.ClickException(f"cannot write {output}: {exc.strerror}") from exc


def _show(made: Exported) -> None:
    print_line(made.place)
    for kind, count in sorted(made.left_out.items()):
        print_note(f"  left out: {count} of kind {kind}")
    renamed = list(made.renamed.items())
    for old, new in renamed[:_SHOWN_NAMES]:
        print_note(f"  renamed: {format_text(old, 80)} to {format_text(new, 80)}")
    if len(renamed) > _SHOWN_NAMES:
        print_note(f"  renamed: {len(renamed) - _SHOWN_NAMES} more")
