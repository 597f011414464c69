"""MLflow's SQLite store, the default since MLflow 3; artifacts are in directories beside it."""

from __future__ import annotations

import math
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator

from expman.formats.damage import DamagedError
from expman.importers.imported_run import modified_times
from expman.importers.mlflow_run import MlflowContent, MlflowRun, Point, local_folder
from expman.importers.report import Report
from expman.importers.source import state_of
from expman.importers.sqlite_file import (
    columns_of,
    integer,
    number,
    open_database,
    sqlite_files,
    text,
)

__all__ = ["find"]

_LARGEST = 1.7976931348623157e308
"""MLflow's SQL stores have this for an infinity."""
_RUN = "run_uuid, name, experiment_id, status, start_time, end_time, lifecycle_stage, artifact_uri"


def find(path: str, left_out: Counter[str]) -> Iterator[MlflowRun]:
    """The runs of all databases at or below a path that have MLflow's tables."""
    for file in sqlite_files(path, left_out):
        try:
            yield from _runs(file, left_out)
        except DamagedError:
            left_out["databases that cannot be read"] += 1


def _runs(path: str, left_out: Counter[str]) -> list[MlflowRun]:
    with open_database(path) as database:
        if not {"run_uuid", "artifact_uri"} <= columns_of(database, "runs"):
            return []
        if "trace_info" in _tables(database):
            (count,) = database.execute("SELECT count(*) FROM trace_info").fetchone()
            left_out["traces"] += int(count)
        names = {
            row[0]: text(row[1])
            for row in database.execute("SELECT experiment_id, name FROM experiments")
        }
        found = []
        for row in database.execute(f"SELECT {_RUN} FROM runs ORDER BY start_time, run_uuid"):
            if text(row[6]) == "deleted":
                left_out["deleted runs"] += 1
            else:
                found.append(_run(path, row, names.get(row[2], "")))
    if not left_out["traces"]:
        del left_out["traces"]
    return found


def _tables(database: sqlite3.Connection) -> set[str]:
    rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {text(row[0]) for row in rows}


def _run(path: str, row: tuple[object, ...], experiment: str) -> MlflowRun:
    run_id = text(row[0])
    return MlflowRun(
        place=f"{path}, run {run_id}",
        run_id=run_id,
        name=text(row[1]),
        experiment=experiment,
        read=lambda report: _content(path, row, report),
        state=state_of([path, f"{path}-wal"]),
        times=modified_times([path]),
    )


def _content(path: str, row: tuple[object, ...], report: Report) -> MlflowContent:
    run_id, home = text(row[0]), os.path.dirname(os.path.abspath(path))
    with open_database(path) as database:
        params = _mapping(database, "params", run_id)
        tags = _mapping(database, "tags", run_id)
        models = _models(database, run_id)
        count = 0
        if "inputs" in _tables(database):
            query = "SELECT count(*) FROM inputs WHERE destination_id = ? OR source_id = ?"
            (count,) = database.execute(query, (run_id, run_id)).fetchone()
    if count:
        report.leave_out("inputs", int(count))
    places = []
    for owner, uri, prefix in ((run_id, text(row[7]), ""), *models):
        place = local_folder(uri, home, owner, report) if uri else None
        if place is not None:
            places.append((place, prefix))
    return MlflowContent(
        points=_points(path, run_id, report),
        params=params,
        tags=tags,
        status=text(row[3]),
        start_ms=integer(row[4]),
        end_ms=integer(row[5]),
        artifacts=places,
    )


def _mapping(database: sqlite3.Connection, table: str, run_id: str) -> dict[str, str]:
    query = f"SELECT key, value FROM {table} WHERE run_uuid = ?"
    return {text(key): text(value) for key, value in database.execute(query, (run_id,))}


def _models(database: sqlite3.Connection, run_id: str) -> list[tuple[str, str, str]]:
    if "source_run_id" not in columns_of(database, "logged_models"):
        return []
    query = "SELECT model_id, artifact_location, name FROM logged_models WHERE source_run_id = ?"
    rows = database.execute(query, (run_id,)).fetchall()
    return [(text(one), text(uri), f"models/{text(name) or text(one)}/") for one, uri, name in rows]


def _points(path: str, run_id: str, report: Report) -> Iterator[Point]:
    with open_database(path) as database:
        columns = columns_of(database, "metrics")
        extra = [name if name in columns else "0" for name in ("step", "is_nan")]
        query = f"SELECT key, value, timestamp, {', '.join(extra)} FROM metrics"
        order = "ORDER BY timestamp, step, rowid" if "step" in columns else "ORDER BY timestamp"
        for row in database.execute(f"{query} WHERE run_uuid = ? {order}", (run_id,)):
            value, time_ms, step = number(row[1]), integer(row[2]), integer(row[3])
            if value is None or time_ms is None:
                report.leave_out("damaged values of metrics")
                continue
            if row[4] in (1, "1"):
                value = math.nan
            elif abs(value) == _LARGEST:
                value = math.copysign(math.inf, value)
            yield step, time_ms, text(row[0]), value
