"""Files of lines that several lanes write to: each lane's lines come once, through every kill."""

from __future__ import annotations

from itertools import groupby

from expman.models import LogLevel
from expman.shown import count_of
from expman.storage.line_file import LineFile
from expman.transport.lane_control import LaneControl
from expman.transport.lane_words import AppendWords
from expman.writer.lanes import LaneState
from expman.writer.open_run import Line, OpenRun
from expman.writer.sinks.sink import Sink

__all__ = ["LineSink"]


class LineSink(Sink):
    """Appends lines to a file, in the order in which they came.

    Resumes by three words of each lane: intent and size are stored before an append and what is
    done after it. A successor that finds an intent without its end cuts the file to its size before
    that append, and appends the lines again.

    A subclass has its file, where its lines wait, and which words of a lane are its own.
    """

    @staticmethod
    def progress(control: LaneControl) -> AppendWords:
        """The words of a lane for this file."""
        raise NotImplementedError

    def __init__(self, run: OpenRun, file: LineFile, waiting: list[Line]) -> None:
        super().__init__(run)
        self._file = file
        self._waiting = waiting

    def add_lane(self, lane: LaneState) -> None:
        """Undoes an append that a killed predecessor had not completed."""
        progress = self.progress(lane.consumer.control)
        if progress.is_open:
            self._file.truncate(progress.size)
            # Once: another lane's lines may come before the ones that were cut off.
            progress.call_off()

    def is_new(self, lane: LaneState | None, number: int) -> bool:
        """True if the file does not have the lines of a record yet."""
        return lane is None or number >= self.progress(lane.consumer.control).done

    def add(self, lane: LaneState | None, number: int, text: str) -> None:
        """Adds lines to those that wait.

        Args:
            lane: where they come from; None: from the writer itself.
            number: of their record in the lane.
            text: whole lines as the file has them.
        """
        self._waiting.append(Line(None if lane is None else lane.consumer, number, text))

    @property
    def has_pending(self) -> bool:
        """True if lines wait in memory."""
        return bool(self._waiting)

    def write(self, *, sync: bool) -> None:
        """Appends the lines, each lane's once even if this process is killed in between."""
        for lane, group in groupby(self._waiting[:], lambda line: line.lane):
            lines = list(group)
            if lane is not None:
                self.progress(lane.control).begin(self._file.size(), lines[-1].record + 1)
            self._file.append_text("".join(line.text for line in lines))
            if lane is not None:
                self.progress(lane.control).end(lines[-1].record + 1)
            del self._waiting[: len(lines)]
        if sync:
            self._file.sync()

    def leave_out(self, why: str) -> None:
        """Gives up the lines, and reports that in a line that can be written."""
        # An intent that stayed open would have a successor cut off the lines that come later.
        for line in self._waiting:
            if line.lane is not None:
                self.progress(line.lane.control).end(line.record + 1)
        count = sum(line.text.count("\n") for line in self._waiting)
        self._waiting.clear()
        self.run.note(LogLevel.ERROR, f"{count_of(count, 'line')} of {self.name} left out: {why}")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
