"""Parquet files of neptune-exporter: what users of Neptune took with them when it closed.

The exporter wrote a row for each value: parts `<run>_part_<n>.parquet` in a directory per project,
with part 0 renamed last. Downloaded files are in a tree of their own, with the same directories.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from expman.formats.damage import DamagedError
from expman.importers.imported_run import ImportedRun, modified_times
from expman.importers.neptune_values import NeptuneValues
from expman.importers.source import Advance, Source, state_of
from expman.importers.walking import walk
from expman.storage.paths import open_regular

__all__ = ["find"]

_TRACKER = "neptune"
_PART = re.compile(r"(.+)_part_(\d+)\.parquet")
_COLUMNS = {"project_id", "run_id", "attribute_path", "attribute_type", "step", "timestamp"}
_BATCH_ROWS = 10_000
_TIMES = ("timestamp", "datetime_value")


def find(path: str, left_out: Counter[str]) -> list[Source]:
    """The runs whose parts are at or below a path; ones without part 0 are counted."""
    runs: dict[tuple[str, str], dict[int, str]] = {}
    for file in [path] if os.path.isfile(path) else _below(path, left_out):
        folder, name = os.path.split(file)
        match = _PART.fullmatch(name)
        if match is not None:
            runs.setdefault((folder, match[1]), {})[int(match[2])] = file
    found = []
    for parts in runs.values():
        files = [parts[number] for number in sorted(parts)]
        described = _described(files[0])
        if described is None:
            left_out["Parquet files of another kind, or damaged"] += len(files)
        elif 0 not in parts:
            left_out["runs that were not exported to their end"] += 1
        else:
            found.append(_source(files, *described, path))
    return found


def _below(path: str, left_out: Counter[str]) -> Iterator[str]:
    for folder, _, names in walk(path, left_out):
        yield from (os.path.join(folder, name) for name in names)


def _described(path: str) -> tuple[str, str] | None:
    """Project and run of a file; None if it is not of the exporter."""
    try:
        with os.fdopen(open_regular(path, follow=True), "rb") as opened, _file(opened) as file:
            if not set(file.schema_arrow.names) >= _COLUMNS:
                return None
            for batch in file.iter_batches(1, columns=["project_id", "run_id"], use_threads=False):
                (row,) = batch.to_pylist()
                return str(row["project_id"]), str(row["run_id"])
    except (pa.ArrowException, OSError, ValueError):
        pass
    return None


def _file(opened: Any) -> pq.ParquetFile:
    return pq.ParquetFile(opened, pre_buffer=False)


def _source(files: list[str], project: str, run_id: str, path: str) -> Source:
    trees = _trees_of_files(os.path.dirname(os.path.abspath(files[0])), path)

    def read(run: ImportedRun, advance: Advance) -> None:
        values = NeptuneValues(run, trees)
        for file in files:
            _read(file, run, values)
            advance(os.path.getsize(file))
        values.finish()
        run.facts.project = project

    return Source(
        tracker=_TRACKER,
        path=files[0],
        identity=f"{project}/{run_id}",
        name=run_id,
        read=read,
        size=sum(map(os.path.getsize, files)),
        experiment=project.rpartition("/")[2] or "neptune",
        state=state_of(files),
        times=modified_times(files),
        about=f"imported from Neptune run {project}/{run_id}",
    )


def _trees_of_files(folder: str, path: str) -> list[str]:
    """Where the downloaded files may be: beside the data, in a directory of the same name."""
    name, data = os.path.basename(folder), os.path.dirname(folder)
    places = [os.path.join(os.path.dirname(data), "files", name)]
    places += [os.path.join(os.path.abspath(path), "files", name), os.path.join(data, name)]
    return [place for place in dict.fromkeys(places) if os.path.isdir(place)]


def _read(path: str, run: ImportedRun, values: NeptuneValues) -> None:
    try:
        with os.fdopen(open_regular(path, follow=True), "rb") as opened, _file(opened) as file:
            if not set(file.schema_arrow.names) >= _COLUMNS:
                raise DamagedError(f"{path}: columns are missing")
            for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
                for row in _rows(batch, run):
                    values.take(row)
    except (pa.ArrowException, ValueError, TypeError) as exc:
        raise DamagedError(f"{path}: {exc}") from exc


def _rows(batch: pa.RecordBatch, run: ImportedRun) -> list[dict[str, Any]]:
    """The rows with times as milliseconds; of a damaged batch none."""
    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name in _TIMES and pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ms", column.type.tz), safe=False).view(pa.int64())
        columns[name] = column
    try:
        return pa.table(columns).to_pylist()  # type: ignore[no-any-return]
    except (UnicodeDecodeError, ValueError, OverflowError):
        run.report.leave_out("damaged rows", batch.num_rows)
        return []
