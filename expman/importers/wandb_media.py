"""Media, tables, saved files and artifacts of a wandb run."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

from expman.formats.protobuf import Message
from expman.importers.files import files_below, inside
from expman.importers.imported_run import ImportedRun
from expman.models import safe_text
from expman.storage.paths import read_regular
from expman.storage.table_bytes import parquet_of

__all__ = ["MediaValues"]

_KINDS = {
    "image-file": "image",
    "images/separated": "image",
    "audio-file": "audio",
    "audio": "audio",
    "video-file": "video",
    "videos": "video",
    "html-file": "text",
    "html": "text",
}
_TABLES = ("table-file", "table")
_RUN_TABLE = "run_table"
_STAGING = "/artifacts/staging/"
"""Part of the paths where wandb keeps files of artifacts until they are sent."""
_MOST_TABLE_BYTES = 1 << 28


class MediaValues:
    """Takes values of wandb's own types, which name files in `files/`.

    Args:
        run: the run.
        files: that directory.
    """

    def __init__(self, run: ImportedRun, files: str) -> None:
        self._run = run
        self._files = files
        self._taken: set[str] = set()

    def take(self, step: int | None, time_ns: int, name: str, value: object) -> bool:
        """Takes a value that is not a number or a text; False if there is no place for it."""
        if isinstance(value, list):
            return bool(value) and all(self.take(step, time_ns, name, one) for one in value)
        kind = value.get("_type") if isinstance(value, Mapping) else None
        if not isinstance(value, Mapping) or not isinstance(kind, str):
            return False
        if kind == "histogram":
            return self._take_histogram(step, time_ns, name, value)
        if kind in _TABLES:
            return self._take_table(step, time_ns, name, value)
        if kind not in _KINDS:
            return False
        paths = [path for path in _paths(value) if isinstance(path, str)]
        for path in paths:
            self._take_file(_KINDS[kind], step, time_ns, name, path)
        return bool(paths)

    def _take_file(
        self, kind: str, step: int | None, time_ns: int, name: str, relative: str
    ) -> None:
        path = inside(self._files, relative)
        if path is None:
            self._run.report.leave_out("files outside of the run's directory")
            return
        self._taken.add(os.path.normpath(relative))
        self._run.files.add_medium_file(kind, step, time_ns, name, path)

    def _take_histogram(
        self, step: int | None, time_ns: int, name: str, value: Mapping[str, Any]
    ) -> bool:
        counts, edges, packed = value.get("values"), value.get("bins"), value.get("packedBins")
        try:
            if isinstance(packed, Mapping):
                low, size = float(packed["min"]), float(packed["size"])
                edges = [low + size * number for number in range(len(counts or ()) + 1)]
            numbers = [float(count) for count in counts or ()]
            limits = [float(edge) for edge in edges or ()]
        except (TypeError, ValueError, KeyError, OverflowError):
            return False
        return self._run.tables.add_histogram(step, time_ns, safe_text(name), limits, numbers)

    def _take_table(
        self, step: int | None, time_ns: int, name: str, value: Mapping[str, Any]
    ) -> bool:
        relative = value.get("path")
        path = inside(self._files, relative) if isinstance(relative, str) else None
        if path is None:
            return False
        try:
            data = read_regular(path, most_bytes=_MOST_TABLE_BYTES)
            table = json.loads(data)
            columns = [str(column) for column in table["columns"]]
            rows = [dict(zip(columns, map(_cell, row), strict=False)) for row in table["data"]]
            encoded = parquet_of(name, rows)
        except FileNotFoundError:
            self._run.report.leave_out("files of tables that are not there")
            return True
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return False  # the file is kept as an artifact
        self._taken.add(os.path.normpath(str(relative)))
        self._run.files.add_medium("table", step, time_ns, name, "parquet", encoded)
        return True

    def take_artifact(self, record: Message) -> None:
        """Copies the files of an artifact, as far as they are on this machine."""
        if record.text(4) == _RUN_TABLE:  # the table's file is in files/, too
            return
        name = record.text(5) or "artifact"
        for entry in record.message(12).messages(4):
            local = entry.text(6)
            if local and "\0" not in local and _STAGING in os.path.realpath(local):
                self._run.files.add_artifact(f"{name}/{entry.text(1)}", local)
            else:  # a foreign file could name any path
                self._run.report.leave_out("references in artifacts")

    def finish(self, skip: Iterable[str]) -> None:
        """Keeps the other files of the run as artifacts."""
        kept = self._taken | set(skip)
        for name, path in files_below(self._files):
            if os.path.normpath(name) not in kept:
                self._run.files.add_artifact(name, path, follow=True)


def _paths(value: Mapping[str, Any]) -> list[object]:
    """The files that a value names: one, several, or one in each of several values."""
    if "path" in value:
        return [value["path"]]
    for key in ("filenames", "paths"):
        if isinstance(value.get(key), list):
            return list(value[key])
    inner = [one for key in ("audio", "videos", "images") for one in value.get(key) or ()]
    return [path for one in inner if isinstance(one, Mapping) for path in _paths(one)]


def _cell(value: object) -> object:
    """A cell that a column can have: numbers and texts as they are, everything else as JSON."""
    if isinstance(value, float) and math.isnan(value):
        return value
    return value if value is None or isinstance(value, float | int | str) else json.dumps(value)
