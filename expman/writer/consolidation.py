"""Rewrites vectors.parquet with the rows of the tail, step by step between the writer's rounds."""

from __future__ import annotations

import time
from collections.abc import Iterator

from expman.errors import StorageError
from expman.storage.vectors import VectorStore

__all__ = ["Consolidation"]

REWRITE_SHARE = 0.02
"""Share of a core that rewrites may take."""
REWRITE_SPACING_S = 2.0
FIRST_REWRITE_S = 0.3


class Consolidation:
    """Rewrites vectors.parquet now and then.

    Attributes:
        stalled: the last try failed.
    """

    def __init__(self, store: VectorStore) -> None:
        self.stalled = False
        self._store = store
        self._rewrite: Iterator[None] | None = None
        self._cost_s = 0.0
        self._rows = 0
        self._next = time.monotonic() + FIRST_REWRITE_S

    def step(self) -> bool:
        """Does one step; False: nothing to do at present.

        Raises:
            StorageError: nothing is lost; the rewrite starts again after a while.
        """
        now = time.monotonic()
        if self._rewrite is None:
            rows = self._store.rows_written
            if now < self._next or rows == self._rows:
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
            self._next = now + REWRITE_SPACING_S
            raise
        end = time.monotonic()
        self._cost_s += end - now
        if self._rewrite is None:
            self._next = end + max(REWRITE_SPACING_S, self._cost_s / REWRITE_SHARE)
        return self._rewrite is not None

    def stop(self) -> None:
        """Gives up the current rewrite."""
        self._rewrite = None
