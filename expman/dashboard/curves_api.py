"""Answers with curves, in Arrow."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from expman.dashboard.context import Context, number_in, refuse
from expman.reading.cursor import decode_cursor, encode_cursor
from expman.reading.row_source import FileRows
from expman.reading.series import Series, SeriesRequest, make_series
from expman.storage.memory import release_unused

__all__ = ["ARROW", "curves"]

ARROW = "application/vnd.apache.arrow.stream"
MOST_POINTS = 100_000
USUAL_POINTS = 2000
FEWEST_NEW = 256
"""Of a curve that goes on, so many new points are not thinned."""
MOST_METRICS = 1000


def curves(context: Context, request: Request) -> Response:
    """Answers `api/curves`."""
    query = request.query_params
    name = query.get("run", "")
    run_dir = context.find(name)
    wanted = _request_of(request)
    if wanted.after is not None:
        found = _from_memory(context, name, wanted, str(query))
        if found is not None:
            return found
    rows = FileRows(run_dir)
    try:
        key = (run_dir, rows.signature, str(query))
        known = context.cache.get(key)
        if known is None:
            known = _answer(make_series(rows, wanted))
            context.cache.put(key, known)
            release_unused()
        return known
    finally:
        rows.close()


def _from_memory(context: Context, name: str, wanted: SeriesRequest, query: str) -> Response | None:
    """Returns the newest rows of a watched run; made once for pages that ask alike."""
    live = context.live.watch(name)
    if live is None or wanted.after is None:
        return None
    with live.answering:
        kept = live.rows_after(wanted.after)
        if kept is None:
            return None
        key = (live.path, encode_cursor(kept.cursor), query)
        known = context.cache.get(key)
        if known is None:
            known = _answer(make_series(kept, wanted))
            context.cache.put(key, known)
        return known


def _request_of(request: Request) -> SeriesRequest:
    query = request.query_params
    metrics = [name for name in query.get("metrics", "").split(",") if name]
    metrics += query.getlist("metric")
    by, after = query.get("by", "producer"), query.get("after")
    if by not in ("producer", "none"):
        refuse(400, "by must be producer or none.")
    points = max(4, number_in(request, "points", USUAL_POINTS, MOST_POINTS))
    if after:  # a small part of the picture
        points = max(min(points, FEWEST_NEW), points // 8)
    return SeriesRequest(
        list(dict.fromkeys(metrics))[:MOST_METRICS],
        query.get("x") or "step",
        _bound(request, "from"),
        _bound(request, "to"),
        points,
        by == "producer",
        None if not after else decode_cursor(after),
    )


def _bound(request: Request, name: str) -> float | None:
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        refuse(400, f"{name} must be a number.")
    return found if abs(found) < 1e300 else None


def _answer(series: Series) -> Response:
    headers = {
        "X-Expman-Cursor": encode_cursor(series.cursor),
        "X-Expman-Rows": str(series.rows),
        "X-Expman-Decimated": str(int(series.decimated)),
        "X-Expman-Nonfinite": str(series.nonfinite),
    }
    return Response(series.stream(), media_type=ARROW, headers=headers)
