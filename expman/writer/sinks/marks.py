"""Marks: records without content, by which producers ask for durability or for the end."""

from __future__ import annotations

from typing import assert_never

import msgspec

from expman.models import RunStatus
from expman.transport import records as wire
from expman.writer.lanes import LaneState
from expman.writer.open_run import OpenRun
from expman.writer.sinks.sink import Sink

__all__ = ["MarkSink"]


class _Flush(msgspec.Struct):
    """A flush that a producer waits for.

    Attributes:
        number: its number.
        artifacts: it waits for this many of the run's artifacts, see `Copier.mark`.
        synced: everything else before it is durable.
    """

    number: int
    artifacts: int
    synced: bool = False


class MarkSink(Sink):
    """Flush marks and sentinels. It has no file: its answers go into the lanes.

    Resumes by the lanes: a term is given back only when all of it is written, and the term with
    the sentinel never is.

    Attributes:
        sentinel: the owner's last record, which has the run's status.
    """

    name = "marks"
    may_leave_out = False

    def __init__(self, run: OpenRun) -> None:
        super().__init__(run)
        self.sentinel: wire.Sentinel | None = None
        self._flushes: dict[int, _Flush] = {}

    def take(self, record: wire.Flush | wire.Sentinel, lane: LaneState | None, number: int) -> None:
        """Takes a flush mark, or a sentinel."""
        assert lane is not None
        match record:
            case wire.Flush():
                self._flushes[lane.number] = _Flush(record.number, self.run.copier.mark)
            case wire.Sentinel():
                lane.has_failed = record.status is RunStatus.FAILED
                if lane.is_owner:
                    self.sentinel = record
            case _:
                assert_never(record)

    def forget(self, lane: LaneState) -> None:
        """Forgets a lane that was retired."""
        self._flushes.pop(lane.number, None)

    @property
    def wants_sync(self) -> bool:
        """True if a producer waits until what it has logged is durable."""
        return any(not flush.synced for flush in self._flushes.values())

    @property
    def is_waited_for(self) -> bool:
        """True if a producer waits, for artifacts at least."""
        return bool(self._flushes)

    @property
    def is_urgent(self) -> bool:
        """True if there is something that a waiting producer waits for."""
        return self.wants_sync or (self.is_waited_for and self.run.copier.is_due)

    def write(self, *, sync: bool) -> None:
        """Writes nothing."""

    def acknowledge(self, *, synced: bool) -> None:
        """Answers the flushes whose records are durable."""
        if synced:
            for flush in self._flushes.values():
                flush.synced = True
        self.answer()

    def answer(self) -> None:
        """Answers the flushes whose artifacts are stored, too, or known to be missing."""
        copier = self.run.copier
        copier.start()
        for number, flush in list(self._flushes.items()):
            if flush.synced and copier.has_settled(flush.artifacts):
                self.run.lanes[number].consumer.control.flushed = flush.number
                del self._flushes[number]
