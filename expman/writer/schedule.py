"""Schedule of writing the files of a run."""

from __future__ import annotations

import time
from collections.abc import Collection

from expman.writer.open_run import OpenRun
from expman.writer.sinks.sink import Sink

__all__ = ["CommitSchedule"]

SHARE = 0.02
"""Share of a core that commits may take, unless rows are many."""
SYNC_SPACING_S = 5.0
COMMIT_SPACING_S = 0.05
MANY_ROWS = 16 * 1024
"""A commit costs the same for one row as for some thousands: they are spaced unless many wait. With
four times as many the writer needs as much time and 10 MB more memory."""


class CommitSchedule:
    """Decides when the files of one run are written, and when what is written is made durable."""

    def __init__(self, run: OpenRun) -> None:
        self._run = run
        self._cost_s = 0.0
        self._last = self._last_sync = time.monotonic()

    def is_due(self, sinks: Collection[Sink]) -> bool:
        """True if it is time for the sinks to commit."""
        if any(sink.is_urgent for sink in sinks):
            return True
        consumers = [lane.consumer for lane in self._run.lanes]
        if any(consumer.is_pressed() and consumer.has_read_terms for consumer in consumers):
            return True
        hello = self._run.hello
        age_s = time.monotonic() - self._last
        waiting = self._run.store.pending_rows
        spacing_s = max(COMMIT_SPACING_S, self._cost_s / SHARE)
        if waiting >= hello.flush_interval_rows and (age_s >= spacing_s or waiting >= MANY_ROWS):
            return True
        # A successor may take a whole lane of rows that are in the files already: they leave
        # nothing to write, and their memory is to be given back all the same.
        return age_s * 1000 >= hello.flush_interval_ms and (
            any(sink.has_pending for sink in sinks)
            or any(consumer.has_read_terms for consumer in consumers)
        )

    def wants_sync(self, now: float) -> bool:
        """True if a commit now should make durable what is written."""
        return now - self._last_sync > SYNC_SPACING_S

    def note_commit(self, started: float, *, synced: bool) -> None:
        """Notes a commit that has succeeded."""
        if synced:
            self._last_sync = started
        self._last = time.monotonic()
        self._cost_s = self._last - started
