"""The newest rows of a live run, read once for all who look at them.

Each look reads what has come into the files since the last one. What was read is kept for a
while, so that clients, who ask with a cursor, are answered from memory.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import NamedTuple

import pyarrow as pa

from expman.errors import ExpmanError
from expman.reading.cursor import UNNUMBERED, Cursor, encode_cursor
from expman.reading.follow import Follower
from expman.reading.row_source import FileRows, KeptRows, RowSource, ends_of
from expman.reading.tailfiles import unreadable
from expman.storage.paths import CONSOLE_LOG, VECTORS_PARQUET, tail_number

__all__ = ["LiveRun"]

KEPT_BYTES = 16 * 1024 * 1024
"""Rows of one run that are kept in memory."""
KEPT_TABLES = 100
"""Most looks whose rows are kept: a table of few rows takes far more memory than its rows."""
FORGET_S = 60.0
"""After so long without a look, a run's rows are given back."""


class _Kept(NamedTuple):
    """Rows, and the `_seq` after the last one of each producer."""

    table: pa.Table
    ends: Cursor

    def is_lacking(self, cursor: Cursor) -> bool:
        """Returns whether some rows are not in what a cursor includes."""
        return any(seq > cursor.get(producer, 0) for producer, seq in self.ends.items())


class LiveRun:
    """What comes into the files of one run.

    Args:
        run_dir: the run's directory.

    Attributes:
        path: the same.
        answering: held by who makes an answer that others may want, too.
    """

    def __init__(self, run_dir: str) -> None:
        self.path = run_dir
        self.answering = threading.Lock()
        self._lock = threading.Lock()
        self._follower: Follower | None = None
        self._seen: tuple[object, ...] | None = None
        self._start: Cursor = {}
        self._kept: deque[_Kept] = deque()
        self._kept_bytes = 0
        self._console_size: int | None = None
        self._first_second: float | None = None
        self._asked = time.monotonic()

    @property
    def cursor(self) -> Cursor:
        """How far the rows go that were seen."""
        return {} if self._follower is None else self._follower.cursor

    def touch(self) -> None:
        """Notes that somebody looks."""
        self._asked = time.monotonic()

    @property
    def is_idle(self) -> bool:
        """Whether nobody has looked for long."""
        return time.monotonic() - self._asked > FORGET_S

    def look(self) -> list[tuple[str, object]]:
        """Reads what has come; returns kinds of events and what they carry.

        Raises:
            StorageError: a file cannot be read.
        """
        with self._lock:
            news: list[tuple[str, object]] = []
            try:
                has_new = self._has_new_rows()
            except pa.ArrowException as exc:
                raise unreadable(self.path, exc) from exc
            if has_new:
                news.append(("rows", encode_cursor(self.cursor)))
            size = _size(os.path.join(self.path, CONSOLE_LOG))
            if self._console_size is not None and size != self._console_size:
                news.append(("console", size))
            self._console_size = size
            return news

    def _has_new_rows(self) -> bool:
        seen = _files_of_rows(self.path)
        if self._follower is None:
            follower = Follower(self.path)
            try:
                follower.skip(0)
            except ExpmanError:
                follower.close()
                raise
            self._follower, self._seen = follower, seen
            self._start = dict(follower.cursor)
            return bool(self._start)
        if seen == self._seen:
            return False
        found = [table for table in self._follower.poll() if table.num_rows]
        self._seen = seen
        for table in found:
            self._keep(table)
        return bool(found)

    def _keep(self, table: pa.Table) -> None:
        if "_seq" not in table.column_names:
            return  # a run of expman-rs, whose rows are always read from its files
        self._kept.append(_Kept(table, ends_of(table)))
        self._kept_bytes += table.nbytes
        while (self._kept_bytes > KEPT_BYTES and len(self._kept) > 1) or (
            len(self._kept) > KEPT_TABLES
        ):
            oldest = self._kept.popleft()
            self._kept_bytes -= oldest.table.nbytes
            self._start = {**self._start, **oldest.ends}

    def rows_after(self, cursor: Cursor) -> RowSource | None:
        """Returns the rows in memory if they are all that a cursor lacks; None otherwise."""
        with self._lock:
            if self._follower is None or UNNUMBERED in self.cursor:
                return None
            if any(cursor.get(producer, 0) < seq for producer, seq in self._start.items()):
                return None
            # One table after another is left out while nothing of it is lacking.
            kept = [one.table for one in self._kept if one.is_lacking(cursor)]
            return KeptRows(kept, self.cursor, self._first())

    def _first(self) -> float:
        if self._first_second is None:
            rows = FileRows(self.path)
            try:
                self._first_second = rows.first_second()
            finally:
                rows.close()
        return self._first_second

    def close(self) -> None:
        """Closes its files."""
        with self._lock:
            if self._follower is not None:
                self._follower.close()
                self._follower = None
            self._kept.clear()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _files_of_rows(run_dir: str) -> tuple[object, ...]:
    """Names, sizes and times of the files that hold rows."""
    try:
        with os.scandir(run_dir) as entries:
            found = [entry for entry in entries if _has_rows(entry.name)]
            infos = [(entry.name, entry.stat()) for entry in found]
    except OSError:
        return ()
    return tuple(sorted((name, i.st_ino, i.st_size, i.st_mtime_ns) for name, i in infos))


def _has_rows(name: str) -> bool:
    return name == VECTORS_PARQUET or tail_number(name) is not None
