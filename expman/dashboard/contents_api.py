"""Answers with what a run has printed, logged and recorded: texts, samples, distributions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from expman.dashboard.context import Context, json_answer, number_in, refuse
from expman.dashboard.curves_api import ARROW, MOST_POINTS
from expman.dashboard.files import PLAIN_TEXT, open_inside
from expman.dashboard.json_text import plain, seconds
from expman.reading.line_pages import piece_of
from expman.reading.media import read_histograms
from expman.reading.system_series import system_stream
from expman.storage.console_log import ConsoleLine, parse_console
from expman.storage.paths import CONSOLE_LOG, RUN_LOG, STACKS
from expman.storage.runlog import LogEntry, parse_log

__all__ = [
    "console",
    "console_lines",
    "histogram_rows",
    "histograms",
    "message_lines",
    "messages",
    "stacks",
    "system",
]

_Line = TypeVar("_Line")

MOST_LINES = 5000
USUAL_LINES = 500
LONGEST_LINE = 4000
MOST_HISTOGRAMS = 200
MOST_STACKS = 4 * 1024 * 1024


def console(context: Context, request: Request) -> Response:
    """Answers `api/run/console?run=E/R`."""
    tail = number_in(request, "tail", USUAL_LINES, MOST_LINES)
    return json_answer(console_lines(context.run_dir(request), _start(request), tail))


def console_lines(run_dir: str, start: int | None, tail: int) -> object:
    """Returns what the program printed: from a byte on, or so many lines of the end."""

    def shown(line: ConsoleLine) -> dict[str, object]:
        head = {"time": seconds(line.time), "stream": line.stream}
        return {**head, "producer": line.producer, "text": line.text}

    return _lines(os.path.join(run_dir, CONSOLE_LOG), start, tail, parse_console, shown)


def messages(context: Context, request: Request) -> Response:
    """Answers `api/run/messages?run=E/R`."""
    limit = number_in(request, "limit", USUAL_LINES, MOST_LINES)
    return json_answer(message_lines(context.run_dir(request), _start(request), limit))


def message_lines(run_dir: str, start: int | None, limit: int) -> object:
    """Returns messages of run.log: from a byte on, or so many of the end."""

    def shown(entry: LogEntry) -> dict[str, object]:
        head = {"time": seconds(entry.time), "level": str(entry.level)}
        return {**head, "text": entry.message, "producer": "main"}

    return _lines(os.path.join(run_dir, RUN_LOG), start, limit, parse_log, shown)


def _lines(
    path: str,
    start: int | None,
    last: int,
    parse: Callable[[str], Iterable[_Line]],
    shown: Callable[[_Line], dict[str, object]],
) -> object:
    """Returns lines of a file: from a byte on, or so many of the end."""
    piece = piece_of(path, start)
    lines = list(parse(piece.text))
    if start is None:
        lines = lines[-max(1, last) :]
    found = [shown(line) for line in lines]
    answer = {"lines": found, "start": piece.start, "next": piece.next, "size": piece.size}
    return plain(answer, LONGEST_LINE)


def _start(request: Request) -> int | None:
    if "tail" in request.query_params or "from" not in request.query_params:
        return None
    return number_in(request, "from", 0, 2**62)


def system(context: Context, request: Request) -> Response:
    """Answers `api/run/system?run=E/R`."""
    run_dir = context.run_dir(request)
    points = max(4, number_in(request, "points", 1000, MOST_POINTS))
    return Response(system_stream(run_dir, points), media_type=ARROW)


def histograms(context: Context, request: Request) -> Response:
    """Answers `api/run/histograms?run=E/R`."""
    run_dir = context.run_dir(request)
    tag = request.query_params.get("tag")
    most = max(1, number_in(request, "limit", MOST_HISTOGRAMS, MOST_HISTOGRAMS))
    return json_answer(histogram_rows(run_dir, tag, most))


def histogram_rows(run_dir: str, tag: str | None, most: int) -> list[dict[str, object]]:
    """Returns the histograms of a tag; evenly chosen ones if there are more than `most`."""
    found = read_histograms(run_dir, tag)
    if len(found) > most:
        found = [found[number * (len(found) - 1) // max(1, most - 1)] for number in range(most)]
    return [
        {
            "tag": row.tag,
            "step": row.step,
            "time": seconds(row.logged_at),
            "edges": row.edges,
            "counts": row.counts,
            "not_finite": row.not_finite,
            "producer": row.producer,
        }
        for row in found
    ]


def stacks(context: Context, request: Request) -> Response:
    """Answers `api/run/stacks?run=E/R`."""
    run_dir = context.run_dir(request)
    name = request.query_params.get("name", "")
    if not name or os.path.basename(name) != name:
        refuse(404, "There are no such stacks.")
    with open_inside(context.catalog.base_dir, run_dir, os.path.join(STACKS, name)) as file:
        data = file.read(MOST_STACKS)
    return Response(data.decode("utf-8", "replace"), media_type=PLAIN_TEXT)
