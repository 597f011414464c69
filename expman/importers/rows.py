"""Rows of an imported run: to vectors.parquet, in the order in which they come."""

from __future__ import annotations

from collections.abc import Mapping

from expman.importers.report import MetricNames
from expman.models import MetricValue
from expman.storage.vectors import RowBlock, VectorStore

__all__ = ["ImportedRows"]

SAME_ROW_NS = 10**9
"""Points of one step become one row if they are no further apart: a row has one time."""
_BLOCK_ROWS = 4096
_BLOCK_CELLS = 400_000
_FLUSH_ROWS = 50_000
_LATEST_NS = 2**63 - 1
_MIN_STEP, _MAX_STEP = -(2**63), 2**63 - 1

_Row = tuple[int | None, int, dict[str, MetricValue]]


class ImportedRows:
    """Takes rows, or points that become rows.

    Attributes:
        count: rows that were taken.
        first_ns, last_ns: the least and the greatest time; 0 if there is none.
    """

    def __init__(self, store: VectorStore, names: MetricNames) -> None:
        self._store = store
        self._names = names
        self._waiting: list[_Row] = []
        self._keys: dict[str, None] = {}
        self.count = 0
        self.first_ns = self.last_ns = 0

    def add(self, step: int | None, time_ns: int, values: Mapping[str, MetricValue]) -> None:
        """Takes a row; one without values is none."""
        if values:
            self._open(step, time_ns)
            row = self._waiting[-1][2]
            for tag, value in values.items():
                row[self._key(tag)] = value

    def add_point(self, step: int | None, time_ns: int, tag: str, value: MetricValue) -> None:
        """Takes one value. It joins the last row if that has its step and its time, but not it."""
        key = self._key(tag)
        last = self._waiting[-1] if self._waiting else None
        fits = last is not None and last[0] == step and key not in last[2]
        if last is None or not fits or abs(last[1] - time_ns) > SAME_ROW_NS:
            self._open(step, time_ns)
            self._key(tag)
        self._waiting[-1][2][key] = value

    def _key(self, tag: str) -> str:
        key = self._names.of(tag)
        self._keys[key] = None
        return key

    def _open(self, step: int | None, time_ns: int) -> None:
        rows = len(self._waiting)
        if rows >= _BLOCK_ROWS or rows * len(self._keys) >= _BLOCK_CELLS:
            self._write()
        if step is not None and not _MIN_STEP <= step <= _MAX_STEP:
            step = None
        time_ns = min(max(time_ns, 0), _LATEST_NS)
        self._waiting.append((step, time_ns, {}))
        self.count += 1
        if time_ns:
            self.first_ns = min(self.first_ns or time_ns, time_ns)
            self.last_ns = max(self.last_ns, time_ns)

    def _write(self) -> None:
        rows = self._waiting
        if not rows:
            return
        keys = tuple(dict.fromkeys(key for _, _, values in rows for key in values))
        columns = [[values.get(key) for _, _, values in rows] for key in keys]
        steps, times = [row[0] for row in rows], [row[1] for row in rows]
        first = self.count - len(rows)
        self._store.append(RowBlock("main", first, steps, times, keys, columns))
        self._waiting, self._keys = [], {}
        if self._store.pending_rows >= _FLUSH_ROWS:
            self._store.flush()

    def finish(self) -> None:
        """Brings all rows into vectors.parquet.

        Raises:
            StorageError: the disk cannot take them.
        """
        self._write()
        self._store.finish()
