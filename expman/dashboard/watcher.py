"""The one thread that looks at the files, whatever number of pages is open.

It is quick while somebody watches, and slow or still otherwise. What a look costs decides how
often it comes: on a slow file system, or with very many runs, it comes less often.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from expman.dashboard.catalog import Catalog
from expman.dashboard.live import LiveRuns, News

__all__ = ["Watcher"]

ROWS_S = 0.6
"""Seconds between two looks at the rows of runs that somebody watches."""
LIVE_S = 1.0
"""Seconds between two looks at the run.yaml of live runs."""
SCAN_S = 2.0
"""Seconds between two looks for new, changed and deleted runs."""
SLOWEST_S = 60.0
SHARE = 0.05
"""Most of a core that looks of each kind may take."""


class _Due:
    """When a kind of look is due, by what it costs."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._next = 0.0

    @property
    def is_now(self) -> bool:
        return time.monotonic() >= self._next

    def after(self, cost_s: float) -> None:
        """Sets the next time, after a look that has cost so much."""
        self._next = time.monotonic() + min(SLOWEST_S, max(self._every_s, cost_s / SHARE))


class Watcher:
    """Looks at the files as long as somebody watches, and reports what is new.

    Args:
        catalog: the runs.
        live: those whose rows somebody watches.
        report: called in the watcher's thread with what is new, and whether the table changed.
    """

    def __init__(
        self, catalog: Catalog, live: LiveRuns, report: Callable[[list[News], bool], None]
    ) -> None:
        self._catalog = catalog
        self._live = live
        self._report = report
        self._has_viewers = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="expman-ui-watch", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def set_viewers(self, count: int) -> None:
        """Takes how many pages are open; without any, nothing is looked at."""
        if count:
            self._has_viewers.set()
        else:
            self._has_viewers.clear()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        self._has_viewers.set()
        if self._thread.ident is not None:
            self._thread.join(5.0)

    def _run(self) -> None:
        scan, live = _Due(SCAN_S), _Due(LIVE_S)
        while not self._stopped.is_set():
            if self._catalog.is_complete:
                self._has_viewers.wait()
            changed = False
            started = time.monotonic()
            if not self._catalog.is_complete:
                changed = self._catalog.go_on()
                if self._catalog.is_complete:
                    changed = True  # pages hear that there are no more
                    self._catalog.remember()
            elif scan.is_now:
                changed = self._catalog.scan()
                scan.after(time.monotonic() - started)
            elif live.is_now:
                changed = self._catalog.look_at_live()
                live.after(time.monotonic() - started)
            news = self._live.look()
            changed |= self._look_at({name for name, kind, _ in news if kind == "rows"})
            if news or changed:
                self._report(news, changed)
            if self._catalog.is_complete:
                self._stopped.wait(max(ROWS_S, (time.monotonic() - started) / SHARE / 4))

    def _look_at(self, names: Collection[str]) -> bool:
        """Looks at runs that have new rows; returns whether anything has changed.

        If one has gone on, its earlier rows may have given way. Pages drop what they have of a run
        with another number of attempts: so they hear of that before they ask for the rows.
        """
        before = self._catalog.version
        for name in names:
            self._catalog.look_at(name)
        return before != self._catalog.version
