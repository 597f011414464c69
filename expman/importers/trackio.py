"""trackio's databases: a run for each run of a project, which is one file of SQLite.

Media and the files of artifacts are in directories beside the database.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Any

from expman.formats.damage import DamagedError
from expman.importers.files import inside
from expman.importers.imported_run import ImportedRun, modified_times
from expman.importers.json_values import flat, json_value
from expman.importers.lines import read_time
from expman.importers.source import Advance, Source, state_of
from expman.importers.sqlite_file import columns_of, integer, open_database, sqlite_files, text
from expman.models import LogLevel, MetricValue, safe_text
from expman.storage.table_bytes import parquet_of

__all__ = ["find"]

_TRACKER = "trackio"
_MEDIA = {"image": "image", "audio": "audio", "video": "video"}
_LEVELS = {"info": LogLevel.INFO, "error": LogLevel.ERROR}
_PREFIX = "trackio."


def find(path: str, left_out: Counter[str]) -> list[Source]:
    """The runs of all databases at or below a path that have trackio's tables."""
    found = []
    for file in sqlite_files(path, left_out):
        try:
            found += _sources(file)
        except DamagedError:
            left_out["databases that cannot be read"] += 1
    return found


def _sources(path: str) -> list[Source]:
    with open_database(path) as database:
        columns = columns_of(database, "metrics")
        if not {"run_name", "metrics", "step"} <= columns:
            return []
        key = "run_id" if "run_id" in columns else "run_name"  # of earlier versions
        query = f"SELECT {key}, run_name FROM metrics GROUP BY {key} ORDER BY min(id)"
        names = {text(run): text(name) for run, name in database.execute(query)}
        if key in columns_of(database, "configs"):
            for run, name in database.execute(f"SELECT {key}, run_name FROM configs ORDER BY id"):
                names.setdefault(text(run), text(name))
    return [_source(path, key, run, name) for run, name in names.items()]


def _source(path: str, key: str, run: str, name: str) -> Source:
    project = os.path.splitext(os.path.basename(path))[0]
    own = run if key == "run_id" else f"{os.path.abspath(path)}/{run}"

    def read(made: ImportedRun, advance: Advance) -> None:
        with open_database(path) as database:
            _Reader(database, path, (key, run), made).read()

    return Source(
        tracker=_TRACKER,
        path=f"{path}, run {name}",
        identity=f"{project}/{own}",
        name=name,
        read=read,
        experiment=project,
        state=state_of([path, f"{path}-wal"]),
        times=modified_times([path]),
        about=f"imported from trackio project {project}",
    )


class _Reader:
    """Reads one run of a database."""

    def __init__(
        self, database: sqlite3.Connection, path: str, key: tuple[str, str], run: ImportedRun
    ) -> None:
        self._database = database
        self._column, self._key = key
        self._run = run
        home, project = os.path.split(os.path.splitext(os.path.abspath(path))[0])
        self._media = os.path.join(home, "media")
        self._blobs = os.path.join(home, "artifacts", project, "blobs", "sha256")

    def read(self) -> None:
        """Takes everything.

        Raises:
            sqlite3.Error: the database is damaged.
        """
        for values in self._rows("configs", "config"):
            self._take_config(values[0])
        for values in self._rows("metrics", "timestamp, step, metrics"):
            self._take_row(*values)
        for values in self._rows("system_metrics", "timestamp, metrics"):
            self._take_sample(*values)
        for values in self._rows("alerts", "timestamp, title, text, level"):
            self._take_alert(*map(text, values))
        traces = len(self._rows("traces", "step"))
        if traces:
            self._run.report.leave_out("traces", traces)
        self._take_artifacts()

    def _rows(self, table: str, wanted: str) -> list[tuple[Any, ...]]:
        if self._column not in columns_of(self._database, table):
            return []
        query = f"SELECT {wanted} FROM {table} WHERE {self._column} = ? ORDER BY rowid"
        return self._database.execute(query, (self._key,)).fetchall()

    def _object(self, value: object) -> dict[str, object]:
        found = json_value(value if isinstance(value, bytes) else text(value))
        if not isinstance(found, dict):
            self._run.report.leave_out("damaged rows")
            return {}
        return found

    def _take_config(self, value: object) -> None:
        config, facts = self._object(value), self._run.facts
        facts.started_ns = read_time(config.get("_Created"))
        group = config.get("_Group")
        facts.group = safe_text(str(group)) if group else None
        facts.params |= {key: one for key, one in config.items() if not key.startswith("_")}

    def _take_row(self, moment: object, step: object, value: object) -> None:
        number, time_ns = integer(step), read_time(text(moment)) or 0
        row: dict[str, MetricValue] = {}
        for name, one in flat(self._object(value), ""):
            if isinstance(one, float | int | str):
                row[name] = one
            elif not self._take_medium(number, time_ns, name, one):
                kind = one.get("_type") if isinstance(one, Mapping) else None
                named = safe_text(kind) if isinstance(kind, str) else type(one).__name__
                self._run.report.leave_out(f"{named} in a row")
        self._run.rows.add(number, time_ns, row)

    def _take_medium(self, step: int | None, time_ns: int, name: str, value: object) -> bool:
        kind = value.get("_type") if isinstance(value, Mapping) else None
        if not isinstance(value, Mapping) or not isinstance(kind, str):
            return False
        kind, at = kind.removeprefix(_PREFIX), (step, time_ns)
        content, file = value.get("_value"), value.get("file_path")
        try:
            if kind == "histogram":
                edges, counts = list(map(float, value["bins"])), list(map(float, value["values"]))
                return self._run.tables.add_histogram(*at, safe_text(name), edges, counts)
            if kind == "table" and isinstance(content, list):
                data = parquet_of(name, content)
                self._run.files.add_medium("table", *at, name, "parquet", data)
                return True
        except (TypeError, ValueError, KeyError, OverflowError):
            return False
        if kind == "markdown" and isinstance(content, str):
            data = content.encode("utf-8", "backslashreplace")
            self._run.files.add_medium("text", *at, name, "md", data)
            return True
        path = inside(self._media, file) if isinstance(file, str) else None
        if path is None:
            return False
        if kind in _MEDIA:
            self._run.files.add_medium_file(_MEDIA[kind], *at, name, path)
        else:
            self._run.files.add_artifact(f"media/{file}", path)
        return True

    def _take_sample(self, moment: object, value: object) -> None:
        found = flat(self._object(value), "")
        sample = {
            f"{_PREFIX}{safe_text(name)}": float(one)
            for name, one in found
            if isinstance(one, float | int)
        }
        self._run.tables.add_sample(read_time(text(moment)) or 0, sample)

    def _take_alert(self, moment: str, title: str, message: str, level: str) -> None:
        told = f"{title}: {message}" if message else title
        self._run.note(_LEVELS.get(level, LogLevel.WARN), read_time(moment) or 0, told)

    def _take_artifacts(self) -> None:
        if "manifest" not in columns_of(self._database, "artifact_versions"):
            return
        query = (
            "SELECT artifacts.name, versions.version, versions.manifest "
            "FROM artifact_versions AS versions JOIN artifacts "
            "ON artifacts.id = versions.artifact_id "
            f"WHERE versions.producer_{self._column} = ? ORDER BY versions.id"
        )
        for name, version, manifest in self._database.execute(query, (self._key,)).fetchall():
            entries = json_value(manifest if isinstance(manifest, bytes) else text(manifest))
            for entry in entries if isinstance(entries, list) else ():
                self._take_blob(f"{text(name)}/v{text(version)}", entry)

    def _take_blob(self, name: str, entry: object) -> None:
        found: Mapping[str, object] = entry if isinstance(entry, Mapping) else {}
        digest, path = str(found.get("digest") or ""), str(found.get("path") or "")
        blob = inside(self._blobs, os.path.join(digest[:2], digest)) if digest else None
        if blob is None:
            self._run.report.leave_out("references in artifacts")
        else:
            self._run.files.add_artifact(f"{name}/{path}", blob)
