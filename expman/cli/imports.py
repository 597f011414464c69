"""`expman import`: runs from TensorBoard event files."""

from __future__ import annotations

import datetime
import os
import struct
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import click

from expman.cli.output import note, say
from expman.cli.runs import base_dir_option
from expman.models import ExperimentConfig, MetricValue, RunMetadata, RunStatus
from expman.storage.vectors import RowBlock, VectorStore
from expman.storage.yamlfile import RunFile, create_experiment

__all__ = ["command"]

Row = tuple[int, int, dict[str, MetricValue]]  # step, nanoseconds, values
_FLUSH_ROWS = 50_000
_RESERVED = {"step", "timestamp", "_producer", "_seq"}


@click.command("import", short_help="Make runs from TensorBoard event files.")
@click.argument("path", type=click.Path(exists=True))
@click.option("--experiment", "-e", required=True, help="The experiment that gets the runs.")
@base_dir_option
def command(path: str, experiment: str, base_dir: str) -> None:
    """Makes a run of each directory below PATH that has TensorBoard event files.

    Scalars become metrics and texts become text metrics, with their steps and times. What has
    no place in a run (images, histograms, …) is left out and counted.
    """
    ExperimentConfig(experiment, base_dir)  # checks the name
    directories = [path] if os.path.isfile(path) else sorted(_event_directories(path))
    if not directories:
        raise click.ClickException(f"{path} has no event files (*tfevents*)")
    create_experiment(_made(os.path.join(base_dir, experiment)))
    for directory in directories:
        inner = os.path.relpath(directory, path) if os.path.isdir(path) else os.path.basename(path)
        name = os.path.basename(os.path.abspath(path)) if inner == "." else inner
        run_dir = _new_run(os.path.join(base_dir, experiment), name.replace(os.sep, "_"))
        files = [directory] if os.path.isfile(directory) else _event_files(directory)
        rows, left_out = _import_run(files, run_dir, experiment)
        say(f"{run_dir}: {rows} rows")
        for kind, count in sorted(left_out.items()):
            note(f"  left out: {count} of kind {kind}")


def _event_directories(path: str) -> Iterator[str]:
    for folder, _, files in os.walk(path):
        if any("tfevents" in name for name in files):
            yield folder


def _event_files(directory: str) -> list[str]:
    names = sorted(name for name in os.listdir(directory) if "tfevents" in name)
    return [os.path.join(directory, name) for name in names]


def _made(directory: str) -> str:
    os.makedirs(directory, exist_ok=True)
    return directory


def _new_run(experiment_dir: str, name: str) -> str:
    for suffix in ("", *(f"-{number}" for number in range(1, 10_000))):
        try:
            run_dir = os.path.join(experiment_dir, name + suffix)
            os.mkdir(run_dir)
            return run_dir
        except FileExistsError:
            continue
    raise click.ClickException(f"{experiment_dir} has too many runs called {name}")


def _import_run(files: list[str], run_dir: str, experiment: str) -> tuple[int, dict[str, int]]:
    left_out: dict[str, int] = {}
    points = [point for file in files for point in _points(file, left_out)]
    store = VectorStore(run_dir)
    rows = first = last = 0
    for (step, moment), group in groupby(_rows(points), key=lambda row: row[:2]):
        for _, _, values in group:
            columns = [[value] for value in values.values()]
            store.append(RowBlock("main", rows, [step], [moment], tuple(values), columns))
            rows += 1
            first, last = min(first or moment, moment), max(last, moment)
            if store.pending_rows >= _FLUSH_ROWS:
                store.flush()
    store.finish()
    store.close()
    meta = RunMetadata(
        name=os.path.basename(run_dir),
        experiment=experiment,
        status=RunStatus.FINISHED,
        started_at=_iso(first),
        finished_at=_iso(last),
        duration_secs=(last - first) / 1e9,
        description="imported from TensorBoard event files",
        vectors=dict(store.latest),
        language="tensorboard",
        rows_logged=rows,
        rows_written=rows,
    )
    RunFile(run_dir).write(meta)
    return rows, left_out


def _rows(points: list[tuple[int, int, str, MetricValue]]) -> Iterator[Row]:
    """Points of one step are one row, unless a tag comes twice."""
    points.sort(key=lambda point: point[0])
    for step, group in groupby(points, key=lambda point: point[0]):
        rows: list[tuple[int, dict[str, MetricValue]]] = []
        for _, moment, tag, value in group:
            row = next((row for _, row in rows if tag not in row), None)
            if row is None:
                rows.append((moment, row := {}))
            row[tag] = value
        yield from ((step, moment, row) for moment, row in rows)


def _points(path: str, left_out: dict[str, int]) -> Iterator[tuple[int, int, str, MetricValue]]:
    try:
        from tensorboardX.proto.event_pb2 import Event
    except ModuleNotFoundError:
        message = "event files need tensorboardX; run: pip install 'expman[tensorboard]'"
        raise click.ClickException(message) from None
    for payload in _records(path):
        event = Event.FromString(payload)
        for value in event.summary.value:
            plugin = value.metadata.plugin_data.plugin_name
            kind = value.WhichOneof("value")
            found = _value(value, kind)
            if found is None:
                left_out[plugin or kind] = left_out.get(plugin or kind, 0) + 1
                continue
            tag = f"{value.tag}_" if value.tag in _RESERVED else value.tag
            yield event.step, int(event.wall_time * 1e9), tag or "value", found


def _value(value: Any, kind: str) -> MetricValue | None:
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor":
        return None
    tensor = value.tensor
    if tensor.string_val and value.metadata.plugin_data.plugin_name == "text":
        return str(tensor.string_val[0].decode(errors="replace"))
    if list(tensor.tensor_shape.dim):
        return None
    for numbers in (tensor.float_val, tensor.double_val, tensor.int64_val, tensor.int_val):
        if numbers:
            return float(numbers[0])
    if len(tensor.tensor_content) in (4, 8):
        code = {1: "<f", 2: "<d", 3: "<i", 9: "<q"}.get(tensor.dtype)
        if code is not None and struct.calcsize(code) == len(tensor.tensor_content):
            return float(struct.unpack(code, tensor.tensor_content)[0])
    return None


def _records(path: str) -> Iterator[bytes]:
    """The records of a TFRecord file: length, its checksum, payload, its checksum."""
    with open(path, "rb") as file:
        while len(head := file.read(12)) == 12:
            (length,) = struct.unpack("<Q", head[:8])
            payload = file.read(length + 4)
            if len(payload) < length + 4:
                return  # still being written, or cut off
            yield payload[:length]


def _iso(time_ns: int) -> str | None:
    if not time_ns:
        return None
    moment = datetime.datetime.fromtimestamp(time_ns / 1e9, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
