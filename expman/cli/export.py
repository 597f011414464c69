"""`expman export`: writes the rows of a run in another format."""

from __future__ import annotations

import datetime
import math
import os
import sys
from typing import Any, Literal

import click

from expman.cli.output import print_line
from expman.cli.runs import base_dir_option, find_run, mistakes_of, run_argument
from expman.models import MetricValue
from expman.reading.export import write_table
from expman.reading.rows import python_rows
from expman.reading.run import Run

__all__ = ["command"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@click.command("export", short_help="Write the rows of a run as CSV, JSON, Parquet, TensorBoard.")
@run_argument()
@click.option(
    "--format",
    "-f",
    "kind",
    required=True,
    type=click.Choice(["csv", "json", "parquet", "tensorboard"]),
    help="json: one object per line.",
)
@click.option(
    "--output", "-o", type=click.Path(), help="File, or a directory for TensorBoard; else stdout."
)
@click.option("--column", "-c", "columns", multiple=True, help="Only this column; repeatable.")
@click.option("--merge-steps", is_flag=True, help="One row per step.")
@base_dir_option
def command(
    run: str,
    kind: Literal["csv", "json", "parquet", "tensorboard"],
    output: str | None,
    columns: tuple[str, ...],
    merge_steps: bool,
    base_dir: str,
) -> None:
    """Writes the rows of RUN; of a live run, all rows that are in its files."""
    found = find_run(run, base_dir)
    if kind in ("parquet", "tensorboard") and output is None:
        raise click.UsageError(f"--format {kind} needs --output")
    if kind == "tensorboard":
        assert output is not None
        _tensorboard(found, output, columns)
        print_line(output)
        return
    with mistakes_of(columns="--column"):
        table = found.vectors(columns or None, merge_steps=merge_steps)
    if output is None:
        if sys.stdout is None:
            raise click.ClickException("standard output is closed; name a file with --output")
        write_table(table, kind, sys.stdout.buffer)
        return
    try:
        with open(output, "wb") as file:
            write_table(table, kind, file)
    except OSError as exc:
        raise click.ClickException(f"cannot write {output}: {exc.strerror}") from exc
    print_line(output)


def _tensorboard(run: Run, directory: str, columns: tuple[str, ...]) -> None:
    try:
        from tensorboardX import SummaryWriter
        from tensorboardX.proto.summary_pb2 import Summary
    except ModuleNotFoundError:
        message = "event files need tensorboardX; run: pip install 'expman-sidecar[tensorboard]'"
        raise click.ClickException(message) from None
    names = [name for name in columns or run.metrics if name not in ("step", "timestamp")]
    with mistakes_of(columns="--column"):
        table = run.vectors(["step", "timestamp", *names])
    os.makedirs(directory, exist_ok=True)
    with SummaryWriter(directory, write_to_disk=True) as writer:
        for number, row in enumerate(python_rows(table)):
            step = row["step"] if row["step"] is not None else number
            seconds = (row["timestamp"] - _EPOCH).total_seconds() if row["timestamp"] else 0.0
            values = [_summary_value(name, row[name]) for name in names if row[name] is not None]
            if values:
                writer.file_writer.add_summary(Summary(value=values), step, seconds)


def _summary_value(tag: str, value: MetricValue) -> Any:
    """A value under exactly this tag; `add_scalar` and `add_text` would change it."""
    from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboardX.proto.tensor_pb2 import TensorProto
    from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto

    if not isinstance(value, str):
        return Summary.Value(tag=tag, simple_value=_float32(float(value)))
    text = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[value.encode()], tensor_shape=shape)
    return Summary.Value(tag=tag, metadata=text, tensor=tensor)


def _float32(value: float) -> float:
    """The value as TensorBoard's 32 bits hold it: what is too large is infinite."""
    limit = 3.4028235677973366e38
    return value if not abs(value) >= limit else math.copysign(math.inf, value)
