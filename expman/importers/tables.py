"""What else an imported run has in tables: histograms, and samples of the machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from expman.storage.directory import RunDirectory
from expman.storage.histogram_rows import histogram_row
from expman.storage.paths import HISTOGRAMS, SYSTEM
from expman.storage.vectors import RowBlock, VectorStore

__all__ = ["ImportedTables"]

_FLUSH_ROWS = 1000


class ImportedTables:
    """Tables that are made with their first row.

    Args:
        directory: the run's, which other tables have open, too.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._stores: dict[str, VectorStore] = {}
        self._rows: dict[str, int] = {}

    def add_histogram(
        self,
        step: int | None,
        time_ns: int,
        tag: str,
        edges: Sequence[float],
        counts: Sequence[float],
    ) -> bool:
        """Takes a distribution; False if its numbers make none."""
        is_whole = len(edges) == len(counts) + 1 and all(map(math.isfinite, [*edges, *counts]))
        if not is_whole or not counts or any(one > two for one, two in pairwise(edges)):
            return False
        whole = [_whole(float(count)) for count in counts]
        seq = self._next(HISTOGRAMS)
        self._add(HISTOGRAMS, histogram_row("main#0", seq, step, time_ns, tag, edges, whole))
        return True

    def add_sample(self, time_ns: int, values: Mapping[str, float]) -> None:
        """Takes a sample of the machine."""
        if values:
            seq = self._next(SYSTEM)
            columns = [(float(value),) for value in values.values()]
            block = RowBlock("system", seq, (seq,), (time_ns,), tuple(values), columns)
            self._add(SYSTEM, block)

    def _next(self, stem: str) -> int:
        number = self._rows.get(stem, 0)
        self._rows[stem] = number + 1
        return number

    def _add(self, stem: str, block: RowBlock) -> None:
        store = self._stores.get(stem)
        if store is None:
            store = self._stores[stem] = VectorStore(self._directory.path, stem, self._directory)
        store.append(block)
        if store.pending_rows >= _FLUSH_ROWS:
            store.flush()

    def finish(self) -> None:
        """Brings all rows into their files.

        Raises:
            StorageError: the disk cannot take them.
        """
        for store in self._stores.values():
            store.finish()

    def close(self) -> None:
        """Closes the files."""
        for store in self._stores.values():
            store.close()


def _whole(count: float) -> float:
    """Counts are whole numbers, but for normalized ones."""
    return int(count) if count.is_integer() and abs(count) < 2**53 else count
