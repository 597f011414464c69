"""The lines of run.log: those of the lanes, each once, and the writer's own."""

from __future__ import annotations

import time
from itertools import groupby

import msgspec

from expman.models import LogLevel
from expman.storage.runlog import RunLog
from expman.transport import records as wire
from expman.transport.consumer import LaneConsumer

__all__ = ["Lines"]


class _Line(msgspec.Struct):
    lane: LaneConsumer | None
    record: int
    level: LogLevel
    logged_at_ns: int
    message: str

    @property
    def entry(self) -> tuple[str, int, str]:
        return self.level, self.logged_at_ns, self.message


class Lines:
    """Lines on their way to run.log."""

    def __init__(self, run_dir: str) -> None:
        self._log = RunLog(run_dir)
        self._waiting: list[_Line] = []

    def create(self) -> None:
        """Makes an empty run.log unless there is one."""
        self._log.create()

    def close(self) -> None:
        """Gives up the open file without writing anything."""
        self._log.close()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def adopt(self, lane: LaneConsumer) -> None:
        """Undoes an append that a killed predecessor had not completed.

        Raises:
            StorageError: call it again.
        """
        control = lane.control
        if control.log_intent > control.log_done:
            self._log.truncate(control.log_size)
            # Once: another lane's lines may come before the ones that were cut off.
            control.log_intent = control.log_done

    def take(self, lane: LaneConsumer, record: wire.Log, number: int) -> None:
        """Takes a line of a lane, unless it is in run.log already."""
        if number >= lane.control.log_done:
            self._waiting.append(
                _Line(lane, number, record.level, record.logged_at_ns, record.message)
            )

    def note(self, level: LogLevel, message: str) -> None:
        """Takes a line of the writer's own."""
        self._waiting.append(_Line(None, 0, level, time.time_ns(), message))

    def write(self) -> None:
        """Appends to run.log, each lane's lines once even if we are killed in between.

        Raises:
            StorageError: call it again.
        """
        for lane, group in groupby(self._waiting[:], lambda line: line.lane):
            lines = list(group)
            if lane is not None:
                lane.control.log_size = self._log.size()
                lane.control.log_intent = lines[-1].record + 1
            self._log.append([line.entry for line in lines])
            if lane is not None:
                lane.control.log_done = lines[-1].record + 1
            del self._waiting[: len(lines)]

    def leave_out(self, why: str) -> None:
        """Gives up lines that cannot be written, and says so in a line that can."""
        count = len(self._waiting)
        self._waiting.clear()
        self.note(LogLevel.ERROR, f"{count} lines were left out: {why}")

    def sync(self) -> None:
        """Makes durable what was written.

        Raises:
            StorageError: call it again.
        """
        self._log.sync()
