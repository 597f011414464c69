"""Notices that producers stand still, and has their stacks recorded."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable

import msgspec

from expman.models import LogLevel, reason_of
from expman.storage.stacks import Stacks, ask_for_stacks, keep_stacks
from expman.storage.times import iso
from expman.transport.hello import Hello
from expman.writer.files import RunFiles
from expman.writer.lanes import LaneState

__all__ = ["StallWatch"]

LOOK_S = 0.5
TIMES_USUAL = 20.0
TIMES_LONGEST = 3.0
"""An evaluation at the end of each epoch is not a hang."""
TIMES_FIRST = 3.0
"""Before the first row, data may be prepared for long."""


class _Producer(msgspec.Struct):
    """Knowledge about the rows of one producer. Times are by the monotonic clock.

    Attributes:
        rows: how many it has logged.
        first_at: when the first one was seen, or the producer.
        last_at: when the last one was seen.
        longest_s: the longest time between two looks that found new ones.
    """

    rows: int
    first_at: float
    last_at: float
    longest_s: float = 0.0

    def note(self, rows: int, now: float) -> None:
        if rows == self.rows:
            return
        if self.rows:
            self.longest_s = max(self.longest_s, now - self.last_at)
        else:
            self.first_at = now
        self.rows, self.last_at = rows, now

    def limit_s(self, hang_after_s: float) -> float:
        """So long without a row is a hang."""
        if not self.rows:
            return TIMES_FIRST * hang_after_s
        usual_s = (self.last_at - self.first_at) / max(self.rows - 1, 1)
        return max(hang_after_s, TIMES_USUAL * usual_s, TIMES_LONGEST * self.longest_s)


class StallWatch:
    """Looks at the rows of a run's producers. Of a run that stands still it records the stacks.

    Asking for stacks takes a moment, in a thread of its own. It is done once for each stall.
    """

    def __init__(self, hello: Hello) -> None:
        self._hang_after_s = float(hello.hang_after_s)
        self._run_dir = hello.run_dir
        self._producers: dict[int, _Producer] = {}
        self._next_look = 0.0
        self._is_stalled = False
        self._found: deque[tuple[LogLevel, str]] = deque()  # the thread appends, the writer takes

    def look(self, files: RunFiles) -> None:
        """Notes new rows. Reports where there are none for long, and when they come again."""
        now = time.monotonic()
        if not self._hang_after_s or now < self._next_look:
            return
        self._next_look = now + LOOK_S
        while self._found:
            files.note(*self._found.popleft())
        lanes = list(files.run.lanes)
        for lane in lanes:
            rows = lane.consumer.rows
            known = self._producers.get(lane.number)
            if known is None:
                known = self._producers[lane.number] = _Producer(0, now, now)
            known.note(rows, now)
        behind = [lane for lane in lanes if self._is_behind(lane, now)]
        if behind and not self._is_stalled:
            self._begin(files, behind, lanes, now)
        elif self._is_stalled and not behind:
            self._end(files)

    def _is_behind(self, lane: LaneState, now: float) -> bool:
        known = self._producers[lane.number]
        if lane.consumer.sealed or now - known.last_at < known.limit_s(self._hang_after_s):
            return False
        return bool(known.rows or lane.is_owner)

    def _begin(
        self, files: RunFiles, behind: list[LaneState], lanes: Iterable[LaneState], now: float
    ) -> None:
        self._is_stalled = True
        since = min(self._producers[lane.number].last_at for lane in behind)
        files.run.meta.stalled_since = iso(time.time_ns() - int((now - since) * 1e9))
        files.run.meta_changed = True
        texts = "; ".join(self._describe(lane, now) for lane in behind)
        going = len(list(lanes)) - len(behind)
        others = f"; {going} others log as usual" if going else ""
        files.note(LogLevel.ERROR, f"no rows for long: {texts}{others}")
        try:
            threading.Thread(target=self._ask, name="expman-stacks", daemon=True).start()
        except RuntimeError as exc:
            files.note(LogLevel.WARN, f"stacks are not recorded: {exc}")

    def _describe(self, lane: LaneState, now: float) -> str:
        known = self._producers[lane.number]
        quiet = f"{now - known.last_at:.0f} s"
        if not known.rows:
            return f"{lane.producer} has logged none for {quiet}"
        step = "" if lane.last_step is None else f", the last one with step {lane.last_step}"
        return f"{lane.producer} has logged {known.rows:,}{step}, none for {quiet}"

    def _ask(self) -> None:
        try:
            stacks = ask_for_stacks(self._run_dir)
            paths = keep_stacks(self._run_dir, stacks, time.time())
        except OSError as exc:
            self._found.append((LogLevel.WARN, f"stacks are not recorded: {reason_of(exc)}"))
            return
        self._report(stacks, paths)

    def _report(self, stacks: list[Stacks], paths: list[str]) -> None:
        if not stacks:
            text = "no process of the run can be asked for its stacks"
            self._found.append((LogLevel.WARN, text))
        for one, path in zip(stacks, paths, strict=True):
            text = f"the stacks of pid {one.pid} are in {path}"
            if one.why_not:
                text = f"pid {one.pid} has no stacks: {one.why_not}"
            self._found.append((LogLevel.INFO if one.text else LogLevel.WARN, text))

    def _end(self, files: RunFiles) -> None:
        self._is_stalled = False
        files.run.meta.stalled_since = None
        files.run.meta_changed = True
        files.note(LogLevel.INFO, "rows come again")
