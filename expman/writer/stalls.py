"""Notices that producers stand still, and has their stacks recorded."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from expman.models import LogLevel, reason_of
from expman.shown import count_of
from expman.storage.stacks import NO_ROWS, Stacks, ask_for_stacks, keep_stacks
from expman.storage.times import iso
from expman.transport.hello import Hello
from expman.writer.behind import is_ahead, is_rank, name_of, place_of, slowest_of, steps_of
from expman.writer.files import RunFiles
from expman.writer.lanes import LaneState
from expman.writer.pace import SURE_ROWS, Pace
from expman.writer.rank_runs import compare_ranks

__all__ = ["StallWatch"]

LOOK_S = 0.5


class StallWatch:
    """Looks at the rows of each producer of a run. Of those that stand still it records the stacks.

    A producer stands still on its own, or all of a run together. Each is reported once, until it
    logs again. Asking for stacks takes a moment, in a thread of its own.

    Args:
        hello: the owner's.
        clock: the monotonic one.
    """

    def __init__(self, hello: Hello, clock: Callable[[], float] = time.monotonic) -> None:
        self._hang_after_s = float(hello.hang_after_s)
        self._hello = hello
        self._clock = clock
        self._paces: dict[int, Pace] = {}
        self._next_look = 0.0
        self._stalled: dict[int, str] = {}  # by lane: its sentence
        self._asking = threading.Lock()  # the threads of two stalls ask one after the other
        self._found: deque[tuple[LogLevel, str]] = deque()  # the thread appends, the writer takes

    def look(self, files: RunFiles) -> None:
        """Notes new rows. Reports where there are none for long, and when they come again."""
        now = self._clock()
        if not self._hang_after_s or now < self._next_look:
            return
        self._next_look = now + LOOK_S
        while self._found:
            files.note(*self._found.popleft())
        lanes = {lane.number: lane for lane in files.run.lanes}
        self._paces = {number: self._pace(lane, now) for number, lane in lanes.items()}
        behind = self._find_behind(lanes, now)
        going = [lane for lane in lanes.values() if self._goes_on(lane, now)]
        was_stalled = dict(self._stalled)
        self._end(files, lanes, {lane.number for lane in behind})
        new = [lane for lane in behind if lane.number not in was_stalled]
        if going:
            new = [lane for lane in new if not self._waits(lane, lanes, going)]
        elif not any(lane.is_owner for lane in behind):
            new = []  # all stop at once, and some are noticed a moment earlier: wait for the owner
        if new:
            self._begin(files, new, going, now)
        if self._stalled != was_stalled:
            self._store(files, now)

    def _pace(self, lane: LaneState, now: float) -> Pace:
        found = self._paces.get(lane.number) or Pace(0, now, now)
        found.note(lane.consumer.rows, now)
        return found

    def _find_behind(self, lanes: dict[int, LaneState], now: float) -> list[LaneState]:
        behind = [lane for lane in lanes.values() if self._is_behind(lane, now)]
        silent = {lane.number for lane in behind}
        logging = {number for number, pace in self._paces.items() if pace.rows}
        if all(lanes[number].consumer.sealed for number in logging - silent):
            return behind
        # An owner without rows may have started those who log, and log messages only.
        return [lane for lane in behind if self._paces[lane.number].rows]

    def _is_behind(self, lane: LaneState, now: float) -> bool:
        pace = self._paces[lane.number]
        if lane.consumer.sealed or now - pace.last_at < pace.limit_s(self._hang_after_s):
            return False
        return lane.is_owner or pace.rows > 0

    def _goes_on(self, lane: LaneState, now: float) -> bool:
        pace = self._paces[lane.number]
        return pace.rows > 0 and now - pace.last_at < self._hang_after_s / 2

    def _waits(self, lane: LaneState, lanes: dict[int, LaneState], going: list[LaneState]) -> bool:
        """True if a producer may well be silent while others log."""
        rows = self._paces[lane.number].rows
        if not lane.is_owner:
            return rows < SURE_ROWS or is_ahead(lane, lanes.values())
        return any(is_rank(one) for one in going) and is_ahead(lane, lanes.values())

    # -- reports -------------------------------------------------------------------------

    def _begin(
        self, files: RunFiles, new: list[LaneState], going: list[LaneState], now: float
    ) -> None:
        for lane in new:
            self._stalled[lane.number] = self._describe(lane, going, now)
        texts = [self._stalled[lane.number] for lane in new]
        if not going and (text := slowest_of(list(files.run.lanes))) is not None:
            texts.append(text)
        files.note(LogLevel.ERROR, f"{NO_ROWS}{'; '.join(texts)}")
        owner = next((lane for lane in new if lane.is_owner), None)
        pids = None if owner else {lane.consumer.hello.pid for lane in new}
        step = None if owner is None else owner.last_step
        name = "expman-stacks"
        try:
            threading.Thread(target=self._ask, args=(pids, step), name=name, daemon=True).start()
        except RuntimeError as exc:
            files.note(LogLevel.WARN, f"stacks are not recorded: {exc}")

    def _describe(self, lane: LaneState, going: list[LaneState], now: float) -> str:
        pace = self._paces[lane.number]
        quiet_s = now - pace.last_at
        if not pace.rows:
            return f"{name_of(lane)} has logged none for {quiet_s:.0f} s"
        if not going:
            step = "" if lane.last_step is None else f", the last one with step {lane.last_step}"
            return f"{name_of(lane)} has logged {pace.rows:,}{step}, none for {quiet_s:.0f} s"
        peers = [one for one in going if is_rank(one)] if is_rank(lane) else []
        others = steps_of([one.last_step for one in peers or going])
        text = f"{name_of(lane)} is behind: {place_of(lane.last_step, quiet_s)}"
        return f"{text}, the others {others or 'log as usual'}"

    def _end(self, files: RunFiles, lanes: dict[int, LaneState], behind: set[int]) -> None:
        """Reports those that are no longer behind."""
        back, gone = [], 0
        for number in [number for number in self._stalled if number not in behind]:
            del self._stalled[number]
            lane = lanes.get(number)
            if lane is None or lane.consumer.sealed:
                gone += 1
            elif self._paces[number].rows:
                back.append(name_of(lane))
        if back:
            files.note(LogLevel.INFO, f"rows come again from {', '.join(back)}")
        if gone:
            files.note(
                LogLevel.INFO,
                count_of(
                    gone, "producer without rows has ended", "producers without rows have ended"
                ),
            )

    def _store(self, files: RunFiles, now: float) -> None:
        meta = files.run.meta
        meta.stalled = list(self._stalled.values())
        meta.stalled_since = None
        if self._stalled:
            since = min(self._paces[number].last_at for number in self._stalled)
            meta.stalled_since = iso(time.time_ns() - int((now - since) * 1e9))
        files.run.meta_changed = True

    # -- the thread that asks ----------------------------------------------------------------

    def _ask(self, pids: set[int] | None, step: int | None) -> None:
        with self._asking:
            self._ask_for_stacks(pids)
        if pids is None and (text := compare_ranks(self._hello, step)) is not None:
            self._found.append((LogLevel.ERROR, f"{NO_ROWS}{text}"))

    def _ask_for_stacks(self, pids: set[int] | None) -> None:
        run_dir = self._hello.run_dir
        try:
            stacks = ask_for_stacks(run_dir, pids)
            paths = keep_stacks(run_dir, stacks, time.time())
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
