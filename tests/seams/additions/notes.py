"""A sink that a test adds: notes, to notes.txt."""

from __future__ import annotations

import os
from typing import Any

from expman.failpoints import hit
from expman.storage.paths import storage_error
from expman.writer.lanes import LaneState
from expman.writer.open_run import OpenRun
from expman.writer.sinks.sink import Sink


class NoteSink(Sink):
    """A line for each note: lane, number, text. Resumes by the numbers in its file."""

    name = "notes.txt"

    def __init__(self, run: OpenRun) -> None:
        super().__init__(run)
        self._path = os.path.join(run.run_dir, self.name)
        self._waiting: list[tuple[int, int, str]] = []
        self._ends = dict[int, int]()
        if os.path.exists(self._path):
            with open(self._path, "r+", encoding="utf-8") as file:
                whole = [line for line in file if line.endswith("\n")]
                os.truncate(self._path, sum(len(line.encode()) for line in whole))
            for line in whole:
                lane, number, _ = line.split(" ", 2)
                self._ends[int(lane)] = int(number) + 1

    def take(self, record: Any, lane: LaneState | None, number: int) -> None:
        """Takes a note, unless it is in the file already."""
        assert lane is not None
        if number >= self._ends.get(lane.number, 0):
            self._waiting.append((lane.number, number, record.text))
            self._ends[lane.number] = number + 1

    @property
    def has_pending(self) -> bool:
        """Whether notes wait in memory."""
        return bool(self._waiting)

    def write(self, *, sync: bool) -> None:
        """Appends the notes."""
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.writelines(f"{lane} {number} {text}\n" for lane, number, text in self._waiting)
                self._waiting = []
            hit("notes-after-append")
        except OSError as exc:
            raise storage_error(self._path, exc) from exc
