"""Answers with the media, tables and artifacts of a run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import IO

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from expman.dashboard.context import Context, json_answer, number_in, refuse
from expman.dashboard.files import PLAIN_TEXT, file_headers, open_inside, safe_type
from expman.dashboard.json_text import plain, seconds
from expman.reading.media import MediaItem, read_media
from expman.reading.table_pages import MOST_ROWS, table_page
from expman.storage.paths import ARTIFACTS, MEDIA

__all__ = ["artifact", "media", "media_file", "media_record", "table"]

PREVIEW_BYTES = 64 * 1024
CHUNK_BYTES = 256 * 1024
LONGEST_CELL = 2000
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def media(context: Context, request: Request) -> Response:
    """Answers `api/run/media?run=E/R`."""
    run_dir = context.run_dir(request)
    query = request.query_params
    found = read_media(run_dir, query.get("tag"), query.get("kind"))
    return json_answer([media_record(item) for item in found])


def media_record(item: MediaItem) -> dict[str, object]:
    """Returns what the page knows of a picture and the like."""
    return {
        "tag": item.tag,
        "kind": item.kind,
        "step": item.step,
        "time": seconds(item.logged_at),
        "file": item.file,
        "bytes": item.bytes,
        "producer": item.producer,
        "shown": safe_type(item.file) is not None,
    }


def media_file(context: Context, request: Request) -> Response:
    """Answers `api/run/media/file?run=E/R`."""
    run_dir = context.run_dir(request)
    return _file_answer(context, request, run_dir, _path_below(request, MEDIA))


def artifact(context: Context, request: Request) -> Response:
    """Answers `api/run/artifact?run=E/R`."""
    run_dir = context.run_dir(request)
    name = _path_below(request, ARTIFACTS)
    if "preview" not in request.query_params:
        return _file_answer(context, request, run_dir, name)
    with open_inside(context.catalog.base_dir, run_dir, name) as file:
        data = file.read(PREVIEW_BYTES)
    if b"\0" in data:
        refuse(415, "This file is not text.")
    headers = file_headers(name, inline=True)
    text = data.decode("utf-8", "replace")
    return Response(text, media_type=PLAIN_TEXT, headers=headers)


def table(context: Context, request: Request) -> Response:
    """Answers `api/run/table?run=E/R`."""
    run_dir = context.run_dir(request)
    name = request.query_params.get("path", "")
    offset = number_in(request, "offset", 0, 2**62)
    limit = number_in(request, "limit", 100, MOST_ROWS)
    with open_inside(context.catalog.base_dir, run_dir, name) as file:
        page = table_page(name, file, offset, limit)
    answer = {"columns": page.columns, "rows": page.rows, "total": page.total}
    return json_answer(plain(answer, LONGEST_CELL))


def _path_below(request: Request, folder: str) -> str:
    """Returns a path of the query, which must be in a folder of the run."""
    name = request.query_params.get("path", "")
    if not name.startswith(f"{folder}/"):
        name = f"{folder}/{name}"
    return name


def _file_answer(context: Context, request: Request, run_dir: str, name: str) -> Response:
    file = open_inside(context.catalog.base_dir, run_dir, name)
    try:
        size = os.fstat(file.fileno()).st_size
        kind = safe_type(name)
        inline = kind is not None and "download" not in request.query_params
        headers = file_headers(name, inline=inline) | {"Accept-Ranges": "bytes"}
        first, last = _span(request.headers.get("range"), size)
        status = 200
        if (first, last) != (0, size - 1) and size:
            status = 206
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        headers["Content-Length"] = str(last - first + 1)
        file.seek(first)
    except BaseException:
        file.close()
        raise
    return StreamingResponse(
        _pieces(file, last - first + 1),
        status,
        headers,
        media_type=kind if inline else "application/octet-stream",
    )


def _span(header: str | None, size: int) -> tuple[int, int]:
    """Returns the first and the last byte that are asked for; all of what is not understood."""
    found = None if header is None else _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]) or not size:
        return 0, size - 1
    if not found[1]:
        return max(0, size - int(found[2])), size - 1
    first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
    return (first, last) if first <= last else (0, size - 1)


def _pieces(file: IO[bytes], count: int) -> Iterator[bytes]:
    with file:
        while count > 0 and (piece := file.read(min(CHUNK_BYTES, count))):
            count -= len(piece)
            yield piece
