"""The runs that somebody looks at, whose new rows are found for all who look."""

from __future__ import annotations

import threading

from expman.dashboard.catalog import Catalog
from expman.errors import ExpmanError
from expman.reading.live_run import LiveRun

__all__ = ["LiveRuns", "News"]

News = tuple[str, str, object]
"""Id of a run, kind of an event, and what it carries."""


class LiveRuns:
    """The runs that somebody looks at.

    Args:
        catalog: all runs.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._runs: dict[str, LiveRun] = {}
        self._lock = threading.Lock()

    def watch(self, name: str) -> LiveRun | None:
        """Returns a run, which is looked at from now on; None if there is no such run."""
        with self._lock:
            run = self._runs.get(name)
            if run is None:
                place = self._catalog.place(name)
                if place is None:
                    return None
                run = self._runs[name] = LiveRun(place)
            run.touch()
            return run

    def look(self) -> list[News]:
        """Looks at all of them; returns what is new."""
        news: list[News] = []
        with self._lock:
            runs = list(self._runs.items())
        for name, run in runs:
            if run.is_idle or self._catalog.place(name) is None:
                with self._lock:
                    self._runs.pop(name, None)
                run.close()
                continue
            try:
                news += [(name, kind, value) for kind, value in run.look()]
            except (ExpmanError, OSError):
                continue  # what is wrong with it is said where the run itself is asked for
        return news

    def close(self) -> None:
        """Closes all files."""
        with self._lock:
            runs, self._runs = list(self._runs.values()), {}
        for run in runs:
            run.close()
