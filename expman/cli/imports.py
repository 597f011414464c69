"""`expman import`: makes runs from TensorBoard event files.

A run is made under a hidden name and renamed once it is whole. An import that fails or is killed
leaves nothing that is listed; repeating it replaces what it left.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import click

from expman.checks import check_name
from expman.cli.events import Events, Point, read_events
from expman.cli.output import print_line, print_note
from expman.cli.runs import base_dir_option
from expman.errors import ExpmanError
from expman.models import (
    ExperimentConfig,
    MetricValue,
    RunMetadata,
    RunStatus,
    safe_text,
)
from expman.reading.text import visible
from expman.storage.configfile import merge_params
from expman.storage.experiment_file import create_experiment
from expman.storage.paths import ARTIFACTS, EXPERIMENT_YAML, is_run_file
from expman.storage.times import iso
from expman.storage.vectors import RowBlock, VectorStore
from expman.storage.yamlfile import RunFile

__all__ = ["command"]

Row = tuple[int, int, dict[str, MetricValue]]  # step, nanoseconds, values
_FLUSH_ROWS = 50_000
_LANGUAGE = "tensorboard"
_ABOUT = "imported from TensorBoard event files in "
_STAGING = ".expman-importing-"
_MAX_NAME_BYTES = 200


@click.command("import", short_help="Make runs from TensorBoard event files.")
@click.argument("path", type=click.Path(exists=True))
@click.option("--experiment", "-e", required=True, help="Experiment to import into.")
@base_dir_option
def command(path: str, experiment: str, base_dir: str) -> None:
    """Makes a run of each directory below PATH that has TensorBoard event files.

    Scalars become metrics and texts become text metrics, with their steps and times;
    hyperparameters become parameters. Images, histograms and damaged records are left out and
    counted. Repeating an import replaces the runs that it made.
    """
    ExperimentConfig(experiment, base_dir)  # checks the name
    sources = [path] if os.path.isfile(path) else sorted(_event_directories(path))
    if not sources:
        raise click.ClickException(f"found no event files (*tfevents*) in {path}")
    home = os.path.join(base_dir, experiment)
    with _experiment(home):
        for source in sources:
            made = _import(source, home, _name(source, path))
            print_line(f"{made.run_dir}: {made.rows} rows")
            for kind, count in sorted(made.left_out.items()):
                print_note(f"  left out: {count} of kind {kind}")


class _Made(NamedTuple):
    """A run that was made."""

    run_dir: str
    rows: int
    left_out: dict[str, int]


def _event_directories(path: str) -> Iterator[str]:
    for folder, _, files in os.walk(path):
        if any("tfevents" in name for name in files):
            yield folder


def _event_files(source: str) -> list[str]:
    if os.path.isfile(source):
        return [source]
    paths = [os.path.join(source, name) for name in sorted(os.listdir(source))]
    return [path for path in paths if "tfevents" in path.rpartition(os.sep)[2]]


def _name(source: str, path: str) -> str:
    """Makes the run's name from its path below the imported directory."""
    inner = os.path.basename(source) if source == path else os.path.relpath(source, path)
    if inner in ("", "."):
        inner = os.path.basename(os.path.abspath(path))
    name = visible(safe_text(inner.replace(os.sep, "_"))).lstrip(".") or "run"
    if len(name.encode()) > _MAX_NAME_BYTES:
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        name = f"{name.encode()[:_MAX_NAME_BYTES].decode(errors='ignore')}-{digest}"
    return check_name("run_name", name)


@contextlib.contextmanager
def _experiment(home: str) -> Iterator[None]:
    """Makes the experiment's directory; removes a new one again if no run came into it."""
    is_new = not os.path.lexists(home)
    os.makedirs(home, exist_ok=True)
    create_experiment(home)
    try:
        yield
    except BaseException:
        if is_new and os.listdir(home) == [EXPERIMENT_YAML]:
            shutil.rmtree(home)
        raise


def _import(source: str, home: str, name: str) -> _Made:
    where = safe_text(os.path.abspath(source))
    staging = os.path.join(home, _STAGING + hashlib.sha256(where.encode()).hexdigest()[:32])
    shutil.rmtree(staging, ignore_errors=True)  # of an import that was killed
    try:
        files = _event_files(source)
        events = read_events(files)
        os.mkdir(staging)
        run_dir = _free_name(home, name, where)
        meta = _write(events, staging, _times(events, files))
        meta.name, meta.experiment = os.path.basename(run_dir), os.path.basename(home)
        meta.description = _ABOUT + where
        RunFile(staging).write(meta)
        if os.path.lexists(run_dir) and RunFile(run_dir).read().rows_written > meta.rows_written:
            print_note(f"kept {run_dir}: it has more rows than the event files have now")
        else:
            _take_place(staging, run_dir)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return _Made(run_dir, meta.rows_written, events.left_out)


def _free_name(home: str, name: str, where: str) -> str:
    """Returns a directory that does not exist, or that an earlier import of the source made."""
    for suffix in ("", *(f"-{number}" for number in range(1, 10_000))):
        run_dir = os.path.join(home, name + suffix)
        if not os.path.lexists(run_dir) or _is_import_of(run_dir, where):
            return run_dir
    raise click.ClickException(f"{home} has 10,000 runs called {name}; delete some")


def _is_import_of(run_dir: str, where: str) -> bool:
    try:
        meta = RunFile(run_dir).read()
        names = os.listdir(run_dir)
    except (ExpmanError, OSError):
        return False
    is_ours = all(is_run_file(name) and name != ARTIFACTS for name in names)
    is_same = (meta.language, meta.description) == (_LANGUAGE, _ABOUT + where)
    return is_ours and is_same and not os.path.islink(run_dir)


def _take_place(staging: str, run_dir: str) -> None:
    if os.path.lexists(run_dir):
        earlier = f"{staging}-earlier"
        os.rename(run_dir, earlier)
        os.rename(staging, run_dir)
        shutil.rmtree(earlier)
    else:
        os.rename(staging, run_dir)


def _times(events: Events, files: list[str]) -> tuple[int, int]:
    """Returns when the first and the last value were logged, else when the files were written."""
    moments = [point.time_ns for point in events.points if point.time_ns]
    moments = moments or [os.stat(file).st_mtime_ns for file in files]
    return min(moments), max(moments)


def _write(events: Events, run_dir: str, times: tuple[int, int]) -> RunMetadata:
    store = VectorStore(run_dir)
    rows = 0
    for step, moment, values in _rows(events.points):
        columns = [[value] for value in values.values()]
        store.append(RowBlock("main", rows, [step], [moment], tuple(values), columns))
        rows += 1
        if store.pending_rows >= _FLUSH_ROWS:
            store.flush()
    store.finish()
    store.close()
    if events.params:
        merge_params(run_dir, events.params)
    first, last = times
    meta = RunMetadata(
        name="",
        experiment="",
        status=RunStatus.FINISHED,
        started_at=iso(first),
        finished_at=iso(last),
        duration_secs=(last - first) / 1e9,
        language=_LANGUAGE,
        rows_logged=rows,
        rows_written=rows,
    )
    store.summarize(meta)
    return meta


def _rows(points: list[Point]) -> Iterator[Row]:
    """Joins the points of one step into one row, or several if a tag comes twice."""
    points.sort(key=lambda point: point.step)
    for step, group in groupby(points, key=lambda point: point.step):
        rows: list[tuple[int, dict[str, MetricValue]]] = []
        seen: Counter[str] = Counter()
        for _, moment, tag, value in group:
            if seen[tag] == len(rows):
                rows.append((moment, {}))
            rows[seen[tag]][1][tag] = value
            seen[tag] += 1
        yield from ((step, moment, row) for moment, row in rows)
