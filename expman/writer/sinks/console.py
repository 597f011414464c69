"""Sink of the program's output: console.log."""

from __future__ import annotations

from typing import NamedTuple

from expman.storage.console_log import ConsoleLog, count_lost, format_console, format_lost
from expman.transport import records as wire
from expman.transport.lane_control import LaneControl
from expman.transport.lane_words import AppendWords
from expman.writer.lanes import LaneState
from expman.writer.open_run import OpenRun
from expman.writer.sinks.lines import LineSink

__all__ = ["ConsoleSink"]


class _OpenLine(NamedTuple):
    """A line that has not ended, as it was last seen."""

    lane: LaneState
    number: int
    text: str


class ConsoleSink(LineSink):
    """Lines of both streams of all producers, in the order in which they came.

    Resumes as LineSink does. A line that goes on is kept in memory. If the run ends before the line
    does, it is written as it was last seen.
    """

    name = "console.log"

    def __init__(self, run: OpenRun) -> None:
        super().__init__(run, ConsoleLog(run.run_dir), [])
        self._open: dict[tuple[int, str], _OpenLine] = {}

    @staticmethod
    def progress(control: LaneControl) -> AppendWords:
        """Those of console.log."""
        return control.console

    def take(self, record: wire.Console, lane: LaneState | None, number: int) -> None:
        """Takes lines, unless they are in console.log already."""
        assert lane is not None
        key = (lane.number, record.stream)
        lines = record.text.removesuffix("\n").split("\n")
        is_relay = lane.consumer.hello.role == "relay"
        producer = "main" if is_relay else lane.producer  # what the program prints
        text = "".join(format_console(record.stream, producer, record.logged_at_ns, lines))
        if record.lost_lines and self.is_new(lane, number):
            self.run.meta.console_lines_lost += record.lost_lines  # see settle
            self.run.meta_changed = True
            note = format_lost(producer, record.logged_at_ns, record.lost_lines)
            self.add(lane, number, note)
        if not record.text:
            return  # only the number of lost lines
        if not record.text.endswith("\n"):
            self._open[key] = _OpenLine(lane, number, text)
            return
        self._open.pop(key, None)
        if self.is_new(lane, number):
            self.add(lane, number, text)

    def settle(self) -> bool:
        """Writes the lines that have not ended."""
        if self._open:
            for line in self._open.values():
                done = line.lane.consumer.control.console.done
                self.add(line.lane, max(line.number, done - 1), line.text)
            self._open.clear()
        self.commit(sync=True)
        if self.run.meta.console_lines_lost:  # a kill may have had a record counted twice
            self.run.meta.console_lines_lost = count_lost(self.run.run_dir)
        return True
