"""Messages: to run.log."""

from __future__ import annotations

from itertools import groupby

from expman.models import LogLevel
from expman.storage.runlog import RunLog
from expman.transport import records as wire
from expman.writer.lanes import LaneState
from expman.writer.open_run import Line, OpenRun
from expman.writer.sinks.sink import Sink

__all__ = ["MessageSink"]


class MessageSink(Sink):
    """Messages of the producers, and the writer's own, in the order in which they came.

    Resumes by three words of each lane: LOG_INTENT and LOG_SIZE are stored before an append and
    LOG_DONE after it. A successor that finds an intent without its end cuts the file to its size
    before that append, and appends the lines again.
    """

    name = "run.log"

    def __init__(self, run: OpenRun) -> None:
        super().__init__(run)
        self._log = RunLog(run.run_dir)
        self._log.create()

    def add_lane(self, lane: LaneState) -> None:
        """Undoes an append that a killed predecessor had not completed."""
        control = lane.consumer.control
        if control.log_intent > control.log_done:
            self._log.truncate(control.log_size)
            # Once: another lane's lines may come before the ones that were cut off.
            control.log_intent = control.log_done

    def take(self, record: wire.Log, lane: LaneState | None, number: int) -> None:
        """Takes a message, unless it is in run.log already."""
        if lane is None or number >= lane.consumer.control.log_done:
            entry = (record.level, record.logged_at_ns, record.message)
            self.run.lines.append(Line(None if lane is None else lane.consumer, number, entry))

    @property
    def has_pending(self) -> bool:
        """Whether lines wait in memory."""
        return bool(self.run.lines)

    def write(self, *, sync: bool) -> None:
        """Appends the lines, each lane's once even if this process is killed in between."""
        for lane, group in groupby(self.run.lines[:], lambda line: line.lane):
            lines = list(group)
            if lane is not None:
                lane.control.log_size = self._log.size()
                lane.control.log_intent = lines[-1].record + 1
            self._log.append([line.entry for line in lines])
            if lane is not None:
                lane.control.log_done = lines[-1].record + 1
            del self.run.lines[: len(lines)]
        if sync:
            self._log.sync()

    def leave_out(self, why: str) -> None:
        """Gives up the lines, and reports that in a line that can be written."""
        # An intent that stayed open would have a successor cut off the lines that come later.
        for line in self.run.lines:
            if line.lane is not None:
                line.lane.control.log_done = line.record + 1
        count = len(self.run.lines)
        self.run.lines.clear()
        self.run.note(LogLevel.ERROR, f"{count} lines were left out: {why}")

    def close(self) -> None:
        """Closes the file."""
        self._log.close()
