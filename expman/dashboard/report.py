"""The report: one HTML file with the page's modules, and the data of some runs inside.

It asks nobody for anything: its policy allows no connection. The curves are thinned to a number of
points that keeps the file small.
"""

from __future__ import annotations

import base64
import gzip
import os
import time
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from starlette.exceptions import HTTPException

from expman.dashboard.compare_api import comparison
from expman.dashboard.contents_api import console_lines, histogram_rows, message_lines
from expman.dashboard.files import open_inside, safe_type
from expman.dashboard.files_api import media_record
from expman.dashboard.json_text import encode, plain
from expman.dashboard.run_api import has_system, run_overview
from expman.dashboard.run_record import lost_record, record_of
from expman.dashboard.single_file import html_file
from expman.errors import ExpmanError
from expman.models import safe_text
from expman.reading.media import read_media
from expman.reading.row_source import FileRows
from expman.reading.runyaml import RunYaml
from expman.reading.series import SeriesRequest, make_series
from expman.reading.system_series import system_stream
from expman.reading.table_pages import table_page
from expman.storage.paths import STACKS
from expman.version import VERSION

__all__ = ["MEDIA_BYTES", "make_report"]

MEDIA_BYTES = 10_000_000
POINTS = 200_000
"""Points of all curves together, if nobody says how many a curve has."""
MOST_POINTS = 2000
FEWEST_POINTS = 60
SYSTEM_POINTS = 300
LINES = 300
MOST_HISTOGRAMS = 40
MOST_TABLES = 50
MOST_TABLE_ROWS = 200
MOST_STACKS = 200_000


def make_report(
    run_dirs: Sequence[str], *, points: int | None = None, media_bytes: int = MEDIA_BYTES
) -> bytes:
    """Returns the HTML file of a report.

    Args:
        run_dirs: directories of the runs, each below an experiment in a base directory.
        points: of each curve, at most; None: as many as keep the file below about 5 MB.
        media_bytes: pictures and the like are included up to so many bytes in all.
    """
    if points is None:
        curves = sum(_count_curves(run_dir) for run_dir in run_dirs)
        points = max(FEWEST_POINTS, min(MOST_POINTS, POINTS // max(1, curves)))
    room = _Room(media_bytes)
    records = [_record(run_dir) for run_dir in run_dirs]
    names = [str(msgspec.json.decode(record)["id"]) for record in records]
    parts: dict[str, dict[str, object]] = {
        name: {}
        for name in ("details", "console", "messages", "histograms", "media", "tables", "stacks")
    }
    blobs: dict[str, bytes] = {}
    for number, (name, run_dir) in enumerate(zip(names, run_dirs, strict=True)):
        for part, value in _contents(run_dir, records[number], room):
            parts[part][name] = value
        for kind, data in _tables(run_dir, points):
            blobs[f"expman-{kind}-{number}"] = _packed(data)
    document = {
        "info": {"base_dir": None, "version": VERSION, "read_only": True, "now": time.time()},
        "runs": [msgspec.Raw(record) for record in records],
        "compare": comparison(run_dirs) if len(run_dirs) > 1 else None,
        "media_left_out": room.left_out,
        **parts,
    }
    return html_file({"expman-report": _packed(encode(document)), **blobs})


class _Room:
    """Room for media."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.left_out = 0

    def takes(self, size: int) -> bool:
        """Takes a file if there is room for it."""
        if size > self.left:
            self.left_out += 1
            return False
        self.left -= size
        return True


def _packed(data: bytes) -> bytes:
    return base64.b64encode(gzip.compress(data, 9, mtime=0))


def _count_curves(run_dir: str) -> int:
    try:
        rows = FileRows(run_dir)
    except ExpmanError:
        return 0
    try:
        return len(rows.number_metrics())
    finally:
        rows.close()


def _record(run_dir: str) -> bytes:
    try:
        yaml = RunYaml(run_dir)
        return record_of(run_dir, yaml, yaml.signature[1] / 1e9)
    except (FileNotFoundError, ExpmanError) as exc:
        return lost_record(run_dir, str(exc))


def _contents(run_dir: str, record: bytes, room: _Room) -> Iterator[tuple[str, object]]:
    """Yields the answers that the page asks for, as far as they are in a report."""
    details = run_overview(run_dir, record)
    yield "details", details
    try:
        yield "console", console_lines(run_dir, None, LINES)
        yield "messages", message_lines(run_dir, None, LINES)
        tags = _list(details["histograms"])
        rows = {tag: histogram_rows(run_dir, tag, MOST_HISTOGRAMS) for tag in tags}
        yield "histograms", rows
        yield "media", list(_media(run_dir, room))
        tables = {name: _table(run_dir, name) for name in _list(details["tables"])[:MOST_TABLES]}
        yield "tables", {name: table for name, table in tables.items() if table is not None}
        yield "stacks", {name: _stacks(run_dir, name) for name in _list(details["stacks"])}
    except (ExpmanError, OSError) as exc:
        details["problems"] = [*_list(details["problems"]), str(exc)]


def _list(value: object) -> list[str]:
    return value if isinstance(value, list) else []


def _tables(run_dir: str, points: int) -> Iterator[tuple[str, bytes]]:
    try:
        rows = FileRows(run_dir)
        try:
            metrics = rows.number_metrics()
            if metrics:
                request = SeriesRequest(metrics, points=points, with_time=True)
                yield "curves", make_series(rows, request).stream(rounded=True)
        finally:
            rows.close()
        if has_system(run_dir):
            yield "system", system_stream(run_dir, SYSTEM_POINTS)
    except ExpmanError:
        return  # the details say what is wrong


def _media(run_dir: str, room: _Room) -> Iterator[Mapping[str, object]]:
    base = os.path.dirname(os.path.dirname(os.path.abspath(run_dir)))
    for item in read_media(run_dir):
        record = media_record(item)
        kind = safe_type(item.file)
        if kind is not None and room.takes(item.bytes):
            url = _data_url(base, run_dir, item.file, kind)
            if url is not None:
                record["url"] = url
        yield record


def _data_url(base: str, run_dir: str, name: str, kind: str) -> str | None:
    try:
        with open_inside(base, run_dir, name) as file:
            data = file.read()
    except (OSError, HTTPException):
        return None
    return f"data:{kind.replace('; ', ';')};base64,{base64.b64encode(data).decode()}"


def _table(run_dir: str, name: str) -> object:
    base = os.path.dirname(os.path.dirname(os.path.abspath(run_dir)))
    try:
        with open_inside(base, run_dir, name) as file:
            page = table_page(name, file, 0, MOST_TABLE_ROWS)
    except (OSError, ExpmanError, HTTPException):
        return None
    return plain({"columns": page.columns, "rows": page.rows, "total": page.total}, MOST_POINTS)


def _stacks(run_dir: str, name: str) -> str:
    with open(os.path.join(run_dir, STACKS, name), "rb") as file:
        return safe_text(file.read(MOST_STACKS).decode("utf-8", "replace"))
