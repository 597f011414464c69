"""Messages: to run.log."""

from __future__ import annotations

from expman.storage.runlog import RunLog, format_line
from expman.transport import records as wire
from expman.transport.lane_control import LaneControl
from expman.transport.lane_words import AppendWords
from expman.writer.lanes import LaneState
from expman.writer.open_run import OpenRun
from expman.writer.sinks.lines import LineSink

__all__ = ["MessageSink"]


class MessageSink(LineSink):
    """Messages of the producers, and the writer's own, in the order in which they came.

    Resumes as LineSink does.
    """

    name = "run.log"

    def __init__(self, run: OpenRun) -> None:
        log = RunLog(run.run_dir)
        log.create()
        super().__init__(run, log, run.lines)

    @staticmethod
    def progress(control: LaneControl) -> AppendWords:
        """Those of run.log."""
        return control.log

    def take(self, record: wire.Log, lane: LaneState | None, number: int) -> None:
        """Takes a message, unless it is in run.log already."""
        if self.is_new(lane, number):
            self.add(lane, number, format_line(record.level, record.logged_at_ns, record.message))
