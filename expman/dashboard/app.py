"""The server's addresses; page-by-page answers are in the files `*_api.py`."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Collection
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from expman.dashboard import changes_api, contents_api, files_api, run_api
from expman.dashboard.compare_api import compare
from expman.dashboard.context import Context, answered, changing, json_answer
from expman.dashboard.curves_api import curves
from expman.dashboard.events import OpenPages, changes_text
from expman.dashboard.guard import Guard
from expman.dashboard.single_file import STATIC
from expman.version import VERSION

__all__ = ["guarded", "make_app"]

OLDEST_S = 3.0
_REVALIDATED = {"Cache-Control": "no-cache"}


def make_app(context: Context, events: OpenPages) -> Starlette:
    """Makes the application, whose requests nobody has checked yet; see `guarded`."""
    page = _index(STATIC)

    async def index(request: Request) -> Response:
        return HTMLResponse(page, headers=_REVALIDATED)

    def info(context: Context, request: Request) -> Response:
        return json_answer(
            {
                "base_dir": context.catalog.base_dir,
                "version": VERSION,
                "read_only": context.read_only,
                "now": time.time(),
                "gone": context.catalog.gone,
            }
        )

    def runs(context: Context, request: Request) -> Response:
        # While a page is open the watcher looks; a program that only asks gets what is there now.
        context.catalog.scan_if_older(OLDEST_S)
        changes = context.catalog.changes(request.query_params.get("since"))
        return Response(changes_text(changes), media_type="application/json")

    # Which run is in the query: a proxy may change what is quoted in a path.
    one = "/api/run"
    answers = {
        "/api/info": info,
        "/api/runs": runs,
        "/api/curves": curves,
        "/api/compare": compare,
        one: run_api.overview,
        f"{one}/console": contents_api.console,
        f"{one}/messages": contents_api.messages,
        f"{one}/system": contents_api.system,
        f"{one}/histograms": contents_api.histograms,
        f"{one}/stacks": contents_api.stacks,
        f"{one}/media": files_api.media,
        f"{one}/media/file": files_api.media_file,
        f"{one}/table": files_api.table,
        f"{one}/artifact": files_api.artifact,
    }
    routes = [Route(path, answered(context, make)) for path, make in answers.items()]
    changes = {"PATCH": changes_api.update, "DELETE": changes_api.remove}
    routes += [
        Route(one, changing(context, make), methods=[method]) for method, make in changes.items()
    ]
    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/events", events.answer),
            *routes,
            Mount("/static", _Assets(directory=STATIC)),
        ],
        exception_handlers={HTTPException: _sentence, Exception: _failure},
    )


class _Assets(StaticFiles):
    """The page's own files, which a browser keeps: mostly the answer is that nothing changed."""

    # What Starlette's own method takes differs between its versions.
    def file_response(self, *args: Any, **options: Any) -> Response:
        answer = super().file_response(*args, **options)
        answer.headers.update(_REVALIDATED)
        return answer


def _index(folder: str) -> str:
    """Returns the page, which asks for all modules at once instead of one after the other."""
    text = Path(folder, "index.html").read_text(encoding="utf-8")
    names = sorted(path.name for path in Path(folder).glob("*.js"))
    links = "".join(f'<link rel="modulepreload" href="static/{name}">\n' for name in names)
    return text.replace("</head>", f"{links}</head>", 1)


def guarded(
    app: ASGIApp, token: str, port: int, hosts: Collection[str], *, read_only: bool = False
) -> ASGIApp:
    """Puts the checks of `Guard` before an application."""
    return Guard(app, token, port, hosts, read_only)


async def _sentence(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    return json_answer({"error": exc.detail}, exc.status_code)


async def _failure(request: Request, exc: Exception) -> Response:
    text = "".join(traceback.format_exception(exc))
    sys.stderr.write(f"expman ui: an answer failed; please report it\n{text}")
    return json_answer({"error": f"The server failed: {type(exc).__name__}."}, 500)
