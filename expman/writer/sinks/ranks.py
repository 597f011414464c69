"""The roll-up over ranks: ranks.parquet, made of vectors.parquet whenever that was replaced."""

from __future__ import annotations

import contextlib
import os
import time

from expman.errors import StorageError
from expman.models import LogLevel, reason_of
from expman.storage.paths import RANKS_PARQUET, VECTORS_PARQUET
from expman.storage.rank_file import RankFile, RankFileUpdate
from expman.writer.consolidation import REWRITE_SHARE
from expman.writer.lanes import LaneState
from expman.writer.open_run import OpenRun
from expman.writer.sinks.sink import Sink

__all__ = ["RankSink"]

FIRST_S = 2.0
SPACING_S = 10.0
"""The least seconds between two updates, each of which takes some 10 ms of a core."""
FINISH_POLL_S = 0.02
SETTLE_S = 5.0
"""How long a run's end waits for it, about: a million rows."""


class RankSink(Sink):
    """Rolls up the rows of a run that several ranks log into. It takes no records.

    Resumes by making the file from all rows. What fails costs nothing else: the file is tried
    again while the run lives, and it is removed at the end rather than left as it was.
    """

    name = RANKS_PARQUET

    def __init__(self, run: OpenRun) -> None:
        super().__init__(run)
        self._file = RankFile(run.run_dir, run.meta.attempt)
        self._ranks: set[int | str] = set()
        # An earlier writer may have made one, or may have seen ranks whose lanes are gone.
        self._is_there = os.path.lexists(os.path.join(run.run_dir, RANKS_PARQUET)) or (
            run.meta.writer_restarts > 0 and run.meta.rank is not None
        )
        self._update: RankFileUpdate | None = None
        self._next = time.monotonic() + FIRST_S
        self._seen: tuple[int, int] | None = None
        self._settle_until: float | None = None

    def add_lane(self, lane: LaneState) -> None:
        """Counts the ranks."""
        if "_rank" in lane.fixed:
            self._ranks.add(lane.fixed["_rank"])

    @property
    def _is_wanted(self) -> bool:
        return len(self._ranks) > 1 or self._is_there

    def write(self, *, sync: bool) -> None:
        """Does nothing: no rows are held in memory."""

    def work(self) -> bool:
        """Begins an update now and then, and takes the file once it is made."""
        if not self._is_wanted:
            return False
        if self._update is not None:
            if self._update.wait(0.0):
                self._take(self._update)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + SPACING_S
            found = self._signature()
            if found != self._seen:
                self._begin(found)
        return False

    def _begin(self, seen: tuple[int, int] | None) -> None:
        self._seen = seen
        self._update = self._file.start()

    def _signature(self) -> tuple[int, int] | None:
        try:
            info = os.stat(os.path.join(self.run.run_dir, VECTORS_PARQUET))
        except OSError:
            return None
        return info.st_ino, info.st_mtime_ns

    def _take(self, update: RankFileUpdate) -> str | None:
        """Gives the file its name; returns why that cannot be done, and tries again later."""
        self._update = None
        self._next = time.monotonic() + max(SPACING_S, update.cost_s / REWRITE_SHARE)
        error = update.error
        try:
            if error is None and update.temp is not None:
                self.run.check_attempt()
                directory = self.run.store.directory
                directory.ensure()
                directory.rename(os.path.basename(update.temp), RANKS_PARQUET)
                update.temp, self._is_there = None, True
            elif error is None and update.is_needed:  # no two ranks, but an earlier attempt had
                self._remove()
        except (OSError, StorageError) as exc:
            error = exc
        if error is None:
            self._file.take(update)
            return None
        update.discard()
        self._file.forget()
        self._seen = None
        return reason_of(error)

    # -- the end --------------------------------------------------------------------------

    def settle(self) -> bool:
        """Rolls up the last rows. Those of the other sinks are in vectors.parquet by now."""
        if not self._is_wanted:
            return True
        if self._settle_until is None:
            self._settle_until = time.monotonic() + SETTLE_S
        if self._update is None:
            found = self._signature()
            if found == self._seen:
                return True
            self._begin(found)
        update, seen = self._update, self._seen
        assert update is not None
        if update.wait(FINISH_POLL_S):
            why = self._take(update)
            is_last = seen == self._signature()
            if why is not None and is_last:
                self._give_up(why)
            return is_last
        if time.monotonic() < self._settle_until:
            return False
        update.cancel()
        self._give_up(f"it would have taken more than {SETTLE_S:g} s")
        return True

    def _give_up(self, why: str) -> None:
        self._update, self._seen = None, self._signature()  # it is not tried again
        self._remove()
        self.run.note(LogLevel.WARN, f"there is no {self.name}: {why}")

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self.run.store.directory.remove(RANKS_PARQUET)
        self._is_there = False

    def close(self) -> None:
        """Cancels an update without waiting for it."""
        if self._update is not None:
            self._update.cancel()
