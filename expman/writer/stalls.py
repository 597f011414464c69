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
from expman.writer.behind import (
    compared_steps,
    is_left_behind,
    is_rank,
    lags,
    name_of,
    place_of,
    slowest_of,
    steps_of,
)
from expman.writer.files import RunFiles
from expman.writer.lanes import LaneState
from expman.writer.pace import SURE_ROWS, Pace
from expman.writer.rank_runs import compare_ranks

__all__ = ["StallWatch"]

LOOK_S = 0.5
LAGS_S = 5.0
"""Seconds between two looks at how far ranks are apart."""
KNOWN_LAGS = 12


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
        self._lags: deque[dict[int, int]] = deque(maxlen=KNOWN_LAGS)  # while all went on
        self._next_lags = 0.0
        self._slowest: str | None = None

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
        self._note_lags(going, lanes, now)
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

    def _note_lags(self, going: list[LaneState], lanes: dict[int, LaneState], now: float) -> None:
        """Notes how far ranks are apart that all go on: some have batches of their own."""
        ranks = [lane for lane in lanes.values() if is_rank(lane)]
        numbers = {lane.number for lane in going}
        do_all_go_on = all(lane.number in numbers for lane in ranks)
        if now < self._next_lags or len(ranks) < 2 or not do_all_go_on:
            return
        self._next_lags = now + LAGS_S
        self._lags.append({number: lag.steps for number, lag in lags(ranks).items()})

    def _usual_lags(self) -> dict[int, int]:
        """By how many steps each rank was behind all the time."""
        numbers = set[int]().union(*self._lags)
        return {number: min(one.get(number, 0) for one in self._lags) for number in numbers}

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
        pace = self._paces[lane.number]
        peers = [one for one in going if is_rank(one)]
        if pace.rows < SURE_ROWS and (not lane.is_owner or (is_rank(lane) and peers)):
            return True
        if not is_rank(lane) or not peers:
            # Workers go on: if no rank does, that is the owner's stall, and the others wait.
            return is_rank(lane) and not lane.is_owner
        ranks = [one for one in lanes.values() if is_rank(one)]
        return not is_left_behind(lane, peers, ranks, pace.limit_s(self._hang_after_s))

    # -- reports -------------------------------------------------------------------------

    def _begin(
        self, files: RunFiles, new: list[LaneState], going: list[LaneState], now: float
    ) -> None:
        for lane in new:
            self._stalled[lane.number] = self._describe(lane, going, now)
        texts = [self._stalled[lane.number] for lane in new]
        if not any(is_rank(one) for one in going):
            slowest = slowest_of(list(files.run.lanes), self._usual_lags())
            texts += [slowest] if slowest is not None and slowest != self._slowest else []
            self._slowest = slowest
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
        peers = [one for one in going if is_rank(one)] if is_rank(lane) else going
        if not peers:
            step = "" if lane.last_step is None else f", the last one with step {lane.last_step}"
            return f"{name_of(lane)} has logged {pace.rows:,}{step}, none for {quiet_s:.0f} s"
        own, steps = compared_steps(lane, peers)
        text = f"{name_of(lane)} is behind: {place_of(own, quiet_s)}"
        return f"{text}, the others {steps_of(steps) or 'log as usual'}"

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
        if not self._stalled:
            self._slowest = None
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
