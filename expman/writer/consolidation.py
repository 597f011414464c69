"""Rewrites a table's Parquet file with the rows of its tail, step by step between rounds."""

from __future__ import annotations

import time
from collections.abc import Iterator

from expman.errors import StorageError
from expman.storage.vectors import VectorStore
from expman.writer.sinks.sink import TRIES

__all__ = ["Consolidation"]

REWRITE_SHARE = 0.02
"""Share of a core that rewrites may take."""
REWRITE_SPACING_S = 2.0
FIRST_REWRITE_S = 0.3
FIRST_PER_COLUMN_S = 0.001
"""Of a wide table the first one waits longer: it costs the same for few rows as for many."""


class Consolidation:
    """Rewrites a table's Parquet file now and then, and for the last time at the run's end.

    Args:
        store: the table.
        first_s: seconds until it is rewritten for the first time.
        spacing_s: the least seconds between two rewrites.

    Attributes:
        stalled: the last try failed.
    """

    def __init__(
        self,
        store: VectorStore,
        first_s: float = FIRST_REWRITE_S,
        spacing_s: float = REWRITE_SPACING_S,
    ) -> None:
        self.stalled = False
        self._store = store
        self._rewrite: Iterator[None] | None = None
        self._cost_s = 0.0
        self._rows = 0
        self._spacing_s = spacing_s
        self._start = time.monotonic()
        self._next = self._start + first_s
        self._finishing: Iterator[None] | None = None
        self._failures = 0

    def step(self) -> bool:
        """Does one step; False: nothing to do at present.

        Raises:
            StorageError: nothing is lost; the rewrite starts again after a while.
        """
        now = time.monotonic()
        if self._rewrite is None:
            rows = self._store.rows_written
            if now < self._next or rows == self._rows or self._is_early(now):
                return False
            self._rows = rows
            self._rewrite = self._store.consolidate()
            self._cost_s = 0.0
        try:
            next(self._rewrite)
        except StopIteration:
            self._rewrite = None
            self.stalled = False
        except StorageError:
            self._rewrite = None
            self.stalled = True
            self._rows = -1
            self._next = now + self._spacing_s
            raise
        end = time.monotonic()
        self._cost_s += end - now
        if self._rewrite is None:
            self._next = end + max(self._spacing_s, self._cost_s / REWRITE_SHARE)
        return self._rewrite is not None

    def _is_early(self, now: float) -> bool:
        """Whether the table is wide, and too young to be rewritten for the first time."""
        return not self._cost_s and now < self._start + FIRST_PER_COLUMN_S * len(self._store.latest)

    def stop(self) -> None:
        """Gives up the current rewrite."""
        self._rewrite = None

    @property
    def is_settling(self) -> bool:
        """True if the last rewrite is under way."""
        return self._finishing is not None

    def settle(self) -> str | None:
        """Does one step of the last rewrite; `is_settling` is False once every row is in place.

        Returns:
            Why rows stay in the live tail for good; None if they do not.

        Raises:
            StorageError: nothing is lost; call it again.
        """
        self._finishing = self._finishing or self._store.finishing()
        try:
            next(self._finishing)
        except StopIteration:
            self._finishing = None
        except StorageError as exc:
            self._finishing = None
            self._failures += 1
            if isinstance(exc.__cause__, OSError) or self._failures < TRIES:
                raise
            return f"rows stay in the live tail, where they are durable: {exc}"
        return None
