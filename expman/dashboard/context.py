"""What the answers of the server have in common: the runs, a bounded pool of threads, errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn, TypeAlias, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from expman.dashboard.cache import AnswerCache
from expman.dashboard.catalog import Catalog
from expman.dashboard.json_text import encode
from expman.dashboard.live import LiveRuns
from expman.errors import ConfigError, ExpmanError
from expman.models import safe_text

__all__ = ["Answer", "Context", "answered", "changing", "json_answer", "number_in", "refuse"]

T = TypeVar("T")
Answer: TypeAlias = Callable[[Request], Awaitable[Response]]
THREADS = 4
MOST_BYTES = 2 << 20
_ARROW_ERRORS = "pyarrow.lib"


class Context:
    """What the server knows and has.

    Args:
        catalog: the runs.
        read_only: nothing may be changed.
    """

    def __init__(self, catalog: Catalog, *, read_only: bool) -> None:
        self.catalog = catalog
        self.live = LiveRuns(catalog)
        self.cache = AnswerCache()
        self.read_only = read_only
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="expman-ui")

    async def call(self, function: Callable[[], T]) -> T:
        """Calls a function that reads files, in one of few threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def run_dir(self, request: Request) -> str:
        """Returns the directory of the run that a query names: `run=E/R`.

        Raises:
            HTTPException: 404, there is no such run.
        """
        return self.find(request.query_params.get("run", ""))

    def find(self, name: str) -> str:
        """Returns the directory of a run.

        Raises:
            HTTPException: 404, there is no such run.
        """
        path = self.catalog.look_at(safe_text(name))
        if path is None:
            if self.catalog.gone is not None:
                refuse(404, f"The base directory cannot be read: {self.catalog.gone}.")
            refuse(404, f"There is no run {name!r} any more.")
        return path

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.live.close()


def refuse(status: int, message: str) -> NoReturn:
    """Ends the request with a sentence."""
    raise HTTPException(status, message)


def json_answer(value: object, status: int = 200) -> Response:
    """Returns an answer in JSON."""
    return Response(encode(value), status, media_type="application/json")


def answered(context: Context, make: Callable[[Context, Request], Response]) -> Answer:
    """Makes an endpoint of a function that reads files: it runs in a thread.

    What is wrong with a run is the content of an answer, and not a failure of the server.
    """

    async def endpoint(request: Request) -> Response:
        return await _answer(context, lambda: make(context, request))

    return endpoint


def changing(context: Context, make: Callable[[Context, Request, bytes], Response]) -> Answer:
    """Makes an endpoint of a function that changes files, which takes what was sent, too."""

    async def endpoint(request: Request) -> Response:
        pieces, size = [], 0
        async for piece in request.stream():
            size += len(piece)
            if size > MOST_BYTES:
                refuse(413, f"A change has at most {MOST_BYTES:,} bytes.")
            pieces.append(piece)
        return await _answer(context, lambda: make(context, request, b"".join(pieces)))

    return endpoint


async def _answer(context: Context, make: Callable[[], Response]) -> Response:
    try:
        return await context.call(make)
    except ConfigError as exc:
        return json_answer({"error": str(exc)}, 400)
    except ExpmanError as exc:
        return json_answer({"error": str(exc)}, 422)
    except FileNotFoundError as exc:
        return json_answer({"error": f"{exc.filename} does not exist any more"}, 404)
    except OSError as exc:
        return json_answer({"error": str(exc)}, 422)
    except Exception as exc:
        if type(exc).__module__ == _ARROW_ERRORS:
            return json_answer({"error": f"a file is damaged: {exc}"}, 422)
        raise


def number_in(request: Request, name: str, default: int, most: int) -> int:
    """Returns a whole number of the query, from 0 to `most`.

    Raises:
        HTTPException: 400, it is not a number.
    """
    text = request.query_params.get(name)
    if text is None or not text.strip():
        return default
    try:
        return max(0, min(int(text), most))
    except ValueError:
        refuse(400, f"{name} must be a whole number.")
