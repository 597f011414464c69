"""Server-sent events: what has changed, to each open page.

A page that reads slowly costs nothing: what it has not heard of yet is a set of names, not a
queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from functools import lru_cache

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from expman.dashboard.catalog import Catalog, Changes
from expman.dashboard.context import Context
from expman.dashboard.json_text import encode
from expman.dashboard.live import News
from expman.dashboard.watcher import Watcher
from expman.reading.cursor import encode_cursor

__all__ = ["OpenPages", "changes_text"]

HEARTBEAT_S = 10.0
MOST_WATCHED = 200
MOST_CLIENTS = 200


def changes_text(changes: Changes) -> bytes:
    """Returns changes of the table as JSON."""
    return encode(
        {
            "version": changes.version,
            "full": changes.full,
            "runs": [msgspec.Raw(record) for record in changes.records],
            "removed": changes.removed,
            "complete": changes.complete,
        }
    )


class _Client:
    """An open page, and what it has not heard of yet."""

    def __init__(self, runs: Iterable[str], version: str | None) -> None:
        self.runs = frozenset(runs)
        self.version = version
        self.news: dict[tuple[str, str], object] = {}
        self.gone: str | None = None
        self.heard = False
        self.complete = False  # whether it has heard that all runs are there
        self.wakes = asyncio.Event()


class OpenPages:
    """All open pages. Everything but `report` happens in the event loop.

    Args:
        context: the runs.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._clients: set[_Client] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closing = False
        self.watcher = Watcher(context.catalog, context.live, self.report)

    def report(self, news: list[News], changed: bool) -> None:
        """Takes what the watcher has found; called in its thread."""
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._spread, news, changed)
            except RuntimeError:
                return  # the loop is closed: nobody is there any more

    def _spread(self, news: list[News], changed: bool) -> None:
        for client in self._clients:
            own = [one for one in news if one[0] in client.runs]
            client.news.update({(name, kind): value for name, kind, value in own})
            if own or changed:
                client.wakes.set()

    def close(self) -> None:
        """Ends all answers that are going on."""
        self._is_closing = True
        for client in self._clients:
            client.wakes.set()

    async def answer(self, request: Request) -> Response:
        """Answers `api/events`."""
        self._loop = asyncio.get_running_loop()
        if len(self._clients) >= MOST_CLIENTS:
            return Response("Too many pages are open.\n", 503, media_type="text/plain")
        query = request.query_params
        names = [name for name in query.get("runs", "").split(",") if name]
        names += query.getlist("run")
        client = _Client(names[:MOST_WATCHED], query.get("version"))
        return StreamingResponse(
            self._stream(client),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    async def _stream(self, client: _Client) -> AsyncIterator[bytes]:
        self._clients.add(client)
        self.watcher.set_viewers(len(self._clients))
        catalog = self._context.catalog
        try:
            yield b"retry: 2000\n\n"
            await self._watch(client)
            while not self._is_closing:
                client.wakes.clear()
                for event in self._events(client, catalog):
                    yield event
                try:
                    await asyncio.wait_for(client.wakes.wait(), HEARTBEAT_S)
                except TimeoutError:
                    await self._watch(client)
                    yield b": still here\n\n"
        finally:
            self._clients.discard(client)
            self.watcher.set_viewers(len(self._clients))

    async def _watch(self, client: _Client) -> None:
        live = self._context.live
        found = await self._context.call(lambda: [live.watch(name) for name in client.runs])
        for name, run in zip(client.runs, found, strict=True):
            if run is not None and run.cursor and not client.heard:
                # What came between the page's first curves and now.
                client.news[name, "rows"] = encode_cursor(run.cursor)
        client.heard = True

    def _events(self, client: _Client, catalog: Catalog) -> Iterable[bytes]:
        if catalog.gone != client.gone:
            client.gone = catalog.gone
            yield _event("gone", encode({"id": None, "why": catalog.gone}))
        news, client.news = client.news, {}
        more = client.version != catalog.version or client.complete < catalog.is_complete
        while more:  # very many runs come in several events
            client.complete = catalog.is_complete
            client.version, text, removed, more = _changes(
                catalog, client.version, catalog.version, client.complete
            )
            yield _event("runs", text)
            for name in removed:
                if name in client.runs:
                    yield _event("gone", encode({"id": name, "why": "The run was deleted."}))
        for (name, kind), value in news.items():
            what = "cursor" if kind == "rows" else "size"
            yield _event(kind, encode({"id": name, what: value}))


@lru_cache(3)
def _changes(
    catalog: Catalog, since: str | None, now: str, complete: bool
) -> tuple[str, bytes, list[str], bool]:
    """Returns the new version, the event's text, what is gone, and whether there is more.

    It is made once for all pages.
    """
    changes = catalog.changes(since)
    return changes.version, changes_text(changes), changes.removed, changes.cut


def _event(kind: str, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)
