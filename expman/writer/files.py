"""From the records of a run's lanes to its files, by way of its sinks."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, TypeVar, cast

from expman.errors import StorageError
from expman.failpoints import hit
from expman.models import LogLevel, RunStatus, reason_of
from expman.storage.examine import write_post_mortem
from expman.storage.paths import MEDIA, remove_stale_temps
from expman.storage.stacks import remove_live_stacks
from expman.transport import records as wire
from expman.transport.batch import Batch
from expman.transport.bulk_decode import Rows
from expman.transport.consumer import LaneConsumer
from expman.transport.hello import Hello
from expman.writer.copier import Copier
from expman.writer.open_run import OpenRun
from expman.writer.schedule import CommitSchedule
from expman.writer.sinks.marks import MarkSink
from expman.writer.sinks.messages import MessageSink
from expman.writer.sinks.metadata import MetadataSink
from expman.writer.sinks.rows import RowSink
from expman.writer.sinks.sink import Position, Sink
from expman.writer.sinks.table import SINKS

__all__ = ["RunFiles"]

_Kind = TypeVar("_Kind", bound=Sink)


class RunFiles:
    """Writes the files of one run. Every method that touches files may raise StorageError.

    Nothing is lost then: the same method is called again.

    Args:
        hello: the owner's, or that of a worker whose owner is gone.
        restarts: how many writers have served the run before this one.
        owner_was_dead: before this writer came.

    Attributes:
        run: what its sinks share.
        rows, metadata, marks: three of its sinks.
    """

    def __init__(self, hello: Hello, restarts: int, *, owner_was_dead: bool = False) -> None:
        self.run = OpenRun(hello, restarts, owner_was_dead=owner_was_dead)
        self._sinks: dict[type[Sink], Sink] = {kind: kind(self.run) for kind in SINKS}
        self._sink_of = {kind: self._sinks[sink] for sink, kinds in SINKS.items() for kind in kinds}
        self.rows = self._sink(RowSink)
        self.metadata = self._sink(MetadataSink)
        self.marks = self._sink(MarkSink)
        self._schedule = CommitSchedule(self.run)

    def _sink(self, kind: type[_Kind]) -> _Kind:
        return cast(_Kind, self._sinks[kind])

    # -- taking records ---------------------------------------------------------------

    def add_lane(self, lane: LaneConsumer) -> None:
        """Takes a lane; completes or undoes what a killed predecessor was doing with it."""
        lanes = self.run.lanes
        if lane.control.run_ended:  # retired, but not quite removed
            lanes.count_retired(lane)
            return
        state = lanes.add(lane, self.run.store.next_seq)
        for sink in self._sinks.values():
            sink.add_lane(state)

    def retire(self, lane: LaneConsumer) -> None:
        """Forgets a worker's lane whose records are written; its counts are kept."""
        state = self.run.lanes[lane.lane]
        self.rows.report_last_drops(state)
        self.run.lanes.retire(state)
        self.marks.forget(state)

    def take(self, lane: LaneConsumer, batch: Batch) -> None:
        """Takes records into memory; one that cannot be taken costs no other."""
        state = self.run.lanes[lane.lane]
        state.begin_term(batch.term)
        for problem in batch.problems:
            self.note(LogLevel.ERROR, f"unreadable shared memory: {problem}")
        position = Position(batch.first_row, batch.first_record)
        for kind, group in groupby(batch.records, type):
            same = list(group)
            self.run.last_sign.note(_logged_at_ns(same[-1]))
            self._sink_of[kind].take_all(same, state, position)
            position = _behind(same, position)

    def take_samples(self, records: Iterable[Any]) -> None:
        """Takes what samplers have observed; one that cannot be taken costs no other."""
        for record in records:
            with self.run.sparing(None, f"a sample ({type(record).__name__})"):
                self._sink_of[type(record)].take(record, None, 0)

    def note(self, level: LogLevel, message: str) -> None:
        """Adds a line of the writer's own to run.log."""
        self.run.note(level, message)

    # -- writing -------------------------------------------------------------------------

    def is_due(self) -> bool:
        """True if it is time to write."""
        return self._schedule.is_due(self._sinks.values())

    def commit(self, *, sync: bool = False) -> None:
        """Writes everything taken so far, then gives its shared memory back.

        Each sink is tried, whatever became of those before it, if only the directory is there.

        Raises:
            StorageError: the first error. Nothing is lost; call it again.
            Exception: a sink that leaves out nothing has failed otherwise. The run is begun anew.
        """
        started = time.monotonic()
        sync = sync or self.marks.wants_sync or self._schedule.wants_sync(started)
        self.run.store.check_directory()
        self.run.check_attempt()
        errors: list[Exception] = []
        for sink in self._sinks.values():
            try:
                sink.commit(sync=sync)
            except Exception as exc:  # noqa: BLE001 - raised when the others have committed
                errors.append(exc)
        if errors:
            raise min(errors, key=lambda exc: isinstance(exc, StorageError))
        hit("commit-before-release")
        for lane in self.run.lanes:
            lane.consumer.release()
        for sink in self._sinks.values():
            sink.acknowledge(synced=sync)
        self._schedule.note_commit(started, synced=sync)

    def work(self) -> bool:
        """Has each sink go on with long work; whether one of them has more to do at once.

        Raises:
            StorageError: nothing is lost; it is tried again later.
        """
        return any([sink.work() for sink in self._sinks.values()])  # noqa: C419 - each must work

    # -- artifacts ---------------------------------------------------------------------

    @property
    def copier(self) -> Copier:
        """Stores the run's artifacts."""
        return self.run.copier

    # -- the end -----------------------------------------------------------------------

    def settle(self) -> bool:
        """Makes all durable but the status, a bit at a time: what comes before `finish`.

        Returns:
            False: call it again, when other runs had their turn.

        Raises:
            StorageError: nothing is lost; call it again.
        """
        if not self.rows.is_settling:
            self.rows.consolidation.stop()
            for lane in self.run.lanes:
                self.rows.report_last_drops(lane)
            self.commit(sync=True)
        return all(sink.settle() for sink in self._sinks.values())

    def finish(self, status: RunStatus, reason: str | None) -> None:
        """Makes the files final and durable.

        Raises:
            StorageError: nothing is lost; call it again.
        """
        self.metadata.conclude(status, reason)
        messages = self._sink(MessageSink)
        messages.commit(sync=True)
        try:
            write_post_mortem(self.run.run_dir, self.run.meta)
        except Exception as exc:  # noqa: BLE001 - it costs nothing else
            self.note(LogLevel.WARN, f"there is no post-mortem: {reason_of(exc)}")
            messages.commit(sync=True)
        remove_live_stacks(self.run.run_dir)
        hit("finish-before-status")
        self.metadata.commit(sync=True)
        for directory in (self.run.run_dir, os.path.join(self.run.run_dir, MEDIA)):
            with contextlib.suppress(OSError):
                remove_stale_temps(directory)
        for sink in self._sinks.values():
            sink.finish()
        self.run.store.close()

    def close(self) -> None:
        """Gives up the open files without writing anything."""
        self.run.close()
        for sink in self._sinks.values():
            sink.close()


def _logged_at_ns(record: Any) -> int:
    found: int = record.logged_at_ns[-1] if isinstance(record, Rows) else record.logged_at_ns
    return found


def _behind(records: Sequence[Any], start: Position) -> Position:
    """The position behind records of one type."""
    rows = 0
    count = len(records)
    if isinstance(records[0], Rows):
        rows = count = sum(block.count for block in records)
    elif isinstance(records[0], wire.Vector):
        rows = count
    elif isinstance(records[0], wire.Drop):
        rows = sum(drop.rows for drop in records)
    return Position(start.row + rows, start.record + count)
