"""Follows a run: yields new rows as its writer puts them into files."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator

import pyarrow as pa

from expman.models import MetricValue, VectorRow
from expman.reading.columns import FIXED
from expman.reading.cursor import UNNUMBERED, Cursor
from expman.reading.parquetfile import VectorsParquet, keep_after
from expman.reading.rows import python_rows
from expman.reading.runyaml import has_ended
from expman.reading.tailfiles import TailReader, tail_paths
from expman.reading.vectors import metric_names, read_vectors
from expman.storage.columns import columns_metadata

__all__ = ["Follower", "follow", "to_rows"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def follow(
    find_dir: Callable[[], str], *, from_start: bool, poll_s: float, timeout_s: float | None
) -> Iterator[VectorRow]:
    """See Run.follow.

    Args:
        find_dir: brings the run's files up to date, if they are a copy; returns their directory.
        from_start: as in Run.follow.
        poll_s: as in Run.follow.
        timeout_s: as in Run.follow.
    """
    follower = Follower(find_dir())
    if not from_start:
        follower.skip(0)
    return _follow(find_dir, follower, poll_s, timeout_s)


def _follow(
    find_dir: Callable[[], str], follower: Follower, poll_s: float, timeout_s: float | None
) -> Iterator[VectorRow]:
    quiet_since = time.monotonic()
    try:
        while True:
            # Before the rows: what is written later is seen next time.
            ended = has_ended(find_dir())
            found = False
            for table in follower.poll():
                found = True
                yield from to_rows(table)
            if ended:
                return
            if found:
                quiet_since = time.monotonic()
            elif timeout_s is not None and time.monotonic() - quiet_since >= timeout_s:
                return
            time.sleep(poll_s)
    finally:
        follower.close()


class Follower:
    """Finds the rows that have come into the files since the last look.

    Each tail file is read from where the last look ended. vectors.parquet is read only if its
    footer has rows that were in no tail file.
    """

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir
        self._seqs: dict[str, int] = {}
        self._tails: dict[str, TailReader] = {}
        self._unnumbered = 0  # rows seen of a run whose rows carry no number

    def poll(self) -> Iterator[pa.Table]:
        """Yields tables with the new rows, in order. The caller must exhaust it.

        Raises:
            StorageError: a file cannot be read.
        """
        # The tail first, as in vectors.py: rows that leave it are in vectors.parquet by then.
        fresh = self._poll_tails()
        parquet = VectorsParquet.open(self._run_dir)
        if parquet is not None:
            with parquet:
                if parquet.lanes is None:
                    yield from self._poll_unnumbered()
                    return
                if any(seq > self._seqs.get(name, 0) for name, seq in parquet.lanes.items()):
                    yield from filter(len, map(self._take, parquet.read_after(dict(self._seqs))))
        elif any("_seq" not in table.column_names for table in fresh):
            yield from self._poll_unnumbered()
            return
        yield from filter(len, map(self._take, fresh))

    def skip(self, last: int) -> pa.Table:
        """Skips all existing rows; returns the last ones."""
        is_numbered = True
        for table in self._poll_tails():
            is_numbered = "_seq" in table.column_names
            if is_numbered:
                self._take(table)
        parquet = VectorsParquet.open(self._run_dir)
        if parquet is not None:
            with parquet:
                is_numbered = parquet.lanes is not None
                for producer, seq in (parquet.lanes or {}).items():
                    self._seqs[producer] = max(seq, self._seqs.get(producer, 0))
        columns = [*FIXED, *metric_names(self._run_dir)]
        table = read_vectors(self._run_dir, columns, last=last, lenient=True)
        if not is_numbered:  # expman-rs wrote it
            table = table.drop_columns(["_producer", "_seq"])
            self._unnumbered = read_vectors(self._run_dir, ["timestamp"]).num_rows
        else:
            self._note(table)
        return table

    @property
    def cursor(self) -> Cursor:
        """How far the rows go that were found or skipped."""
        return {UNNUMBERED: self._unnumbered} if self._unnumbered else dict(self._seqs)

    def _poll_tails(self) -> list[pa.Table]:
        fresh = []
        present = tail_paths(self._run_dir)
        for path in self._tails.keys() & {*present}:
            if not self._tails[path].is_in_place:  # its rows are in other files by now
                self._tails.pop(path).close()
        for path in present:
            if path not in self._tails:
                try:
                    self._tails[path] = TailReader(path)
                except FileNotFoundError:
                    continue
        for path, tail in sorted(self._tails.items(), key=lambda item: (len(item[0]), item[0])):
            batches = list(tail.batches())
            if batches:
                fresh.append(pa.Table.from_batches(batches))
            if path not in present:
                tail.close()
                del self._tails[path]
        return fresh

    def _take(self, table: pa.Table) -> pa.Table:
        table = keep_after(table, self._seqs)
        self._note(table)
        return table

    def _note(self, table: pa.Table) -> None:
        ends = table.group_by("_producer", use_threads=False).aggregate([("_seq", "max")])
        for producer, seq in zip(
            ends["_producer"].to_pylist(), ends["_seq_max"].to_pylist(), strict=True
        ):
            self._seqs[producer] = max(seq + 1, self._seqs.get(producer, 0))

    def _poll_unnumbered(self) -> Iterator[pa.Table]:
        """Yields new rows of a run of expman-rs, whose rows have no numbers, by their place."""
        table = read_vectors(self._run_dir)
        fresh = table.slice(self._unnumbered)
        self._unnumbered = max(self._unnumbered, table.num_rows)
        if fresh.num_rows:
            yield fresh

    def close(self) -> None:
        """Closes the tail files."""
        for tail in self._tails.values():
            tail.close()
        self._tails.clear()


def to_rows(table: pa.Table) -> Iterator[VectorRow]:
    """Yields the rows of a table; a row has only the metrics that were logged in it."""
    metric_of = columns_metadata(table.schema.metadata)
    names = [name for name in table.column_names if name not in FIXED]
    numbered = "_seq" in table.column_names
    for number, row in enumerate(python_rows(table)):
        values: dict[str, MetricValue] = {
            metric_of.get(name, name): value for name in names if (value := row[name]) is not None
        }
        stamp = row["timestamp"]
        yield VectorRow(
            values,
            row["step"],
            0 if stamp is None else (stamp - _EPOCH) // _MICROSECOND * 1000,
            row["_producer"] if numbered else "main",
            row["_seq"] if numbered else number,
        )
