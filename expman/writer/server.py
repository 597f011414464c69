"""The writer's loop: find lanes, serve their runs, end when it is time."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

from expman.errors import ExpmanError
from expman.faults import reach
from expman.models import reason_of
from expman.transport import layout, segment
from expman.transport.address import check_address, find_lanes
from expman.transport.consumer import LaneConsumer
from expman.transport.liveness import mark_of
from expman.writer.run import Run, describe

__all__ = ["AddressTakenError", "Server", "remove_leftovers"]

URGENT_PAUSE_S = 0.001
BUSY_PAUSE_S = 0.005
IDLE_PAUSE_S = 0.04
LIVENESS_SPACING_S = 0.2
DRAIN_S = 10.0
RESTARTS = 3
"""So often a run is begun anew from shared memory after a failure that is not its disk's."""
FAILURE_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
FORGOTTEN_S = 60.0
"""A failure so long ago does not count any more."""
MOST_LANES = 2**32
"""No writer has served more: a larger number of the next lane is damage."""


class AddressTakenError(ExpmanError):
    """Another writer serves the address."""

    def __init__(self, address: segment.Address) -> None:
        super().__init__(f"another writer serves {address}")


class Server:
    """Serves one address.

    Args:
        address: where producers claim their lanes.
        standing: goes on without runs, until told to stop; otherwise it ends with its runs.
        starter: the process that claims the first lane, see `mark_of`; the server ends if that
            process has ended and left none.
        on_run: called with the base directory of each run that is found.

    Raises:
        FileNotFoundError: there is no such address.
        AddressTakenError: another writer serves it.
    """

    def __init__(
        self,
        address: segment.Address,
        *,
        standing: bool = False,
        starter: str = "",
        on_run: Callable[[str], None] = lambda base_dir: None,
    ) -> None:
        self.address = address
        self._base = segment.attach(address.place, address.segment())
        if not self._base.try_lock():
            self._base.close()
            raise AddressTakenError(address)
        if segment.links(self._base) == 0:  # its writer ended between our two steps
            raise FileNotFoundError(address.segment())
        self.words = memoryview(self._base.map()).cast("Q")
        check_address(self.words, address.segment())
        self.words[layout.WRITER_PID] = os.getpid()
        self.words[layout.WRITER_STARTS] = min(self.words[layout.WRITER_STARTS], MOST_LANES) + 1
        # A predecessor was removing the address: it may have removed the last lane before.
        self._served = bool(self.words[layout.STOPPING] and self.words[layout.NEXT_LANE])
        if standing:
            self.words[layout.STOPPING] = 0
        self._standing = standing
        self._on_run = on_run
        self._runs: dict[str, Run] = {}
        there = find_lanes(address.place).get(address, [])
        self._next_lane = self.words[layout.NEXT_LANE]
        if self._next_lane > MOST_LANES:
            self._next_lane = max(there, default=-1) + 1
        # What is there below was found by an earlier writer; the rest it has finished.
        self._half_claimed = {lane for lane in there if lane < self._next_lane}
        self._unreadable: set[str] = set()
        self._failures: dict[str, tuple[int, float]] = {}
        self._given_up: dict[str, str] = {}
        self._deadline: float | None = None
        self._signal: str | None = None
        self._next_liveness = 0.0
        self._starter = starter

    def stop_soon(self, number: int = signal.SIGTERM, *_: object) -> None:
        """SIGTERM: takes no new runs, and ends with the present ones or at the deadline."""
        if self._deadline is None:
            self._deadline = time.monotonic() + DRAIN_S
            self.words[layout.STOPPING] = 1
            self._signal = f"the writer got {signal.Signals(number).name} before"
            for run in self._runs.values():
                run.stop_reason = self._signal

    def serve(self) -> bool:
        """Runs until it is time to end; whether every run was finished."""
        pause_s = BUSY_PAUSE_S
        while True:
            busy = self.step()
            if self.finished and self.remove_address():
                return True
            now = time.monotonic()
            if not self._runs and not self._standing:
                if segment.links(self._base) == 0:
                    return True  # the engine has given up before its first lane
                if self._starter_is_gone() and self.remove_address():
                    return True
            if self._deadline is not None and now > self._deadline:
                self.leave()
                return False
            pause_s = BUSY_PAUSE_S if busy else min(pause_s * 1.5, IDLE_PAUSE_S)
            urgent = any(run.is_urgent for run in self._runs.values())
            time.sleep(URGENT_PAUSE_S if urgent else pause_s)

    def _starter_is_gone(self) -> bool:
        # Not the parent's id: where it died before we could look, ours is process 1, or any other.
        pid = self._starter.partition(":")[0]
        return bool(pid) and mark_of(int(pid)) != self._starter

    @property
    def idle(self) -> bool:
        """Whether it has no run."""
        return not self._runs

    def leave(self) -> None:
        """Makes durable what can be, and leaves the runs to a successor."""
        for run in self._runs.values():
            run.leave()

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do, and nothing to wait for."""
        if self._runs:
            return False
        return self._deadline is not None if self._standing else self._served

    def remove_address(self) -> bool:
        """Removes the address, so that no lane can be claimed under it any more.

        Returns:
            False: a lane was claimed just before; it is served first.
        """
        self.words[layout.STOPPING] = 1
        reach("address-before-remove")
        self._base.unlink()
        self._find_lanes()
        if self._runs:
            return False
        remove_leftovers(self.address, self._unreadable)
        return True

    def step(self) -> bool:
        """One round over all runs; whether there was something to do."""
        self._find_lanes()
        now = time.monotonic()
        check = now >= self._next_liveness
        if check:
            self._next_liveness = now + LIVENESS_SPACING_S
            if not self._base.try_lock():  # lost it, and a successor is at work: touch nothing
                raise AddressTakenError(self.address)
        busy = False
        for run_dir, run in list(self._runs.items()):
            try:
                busy |= self._serve(run_dir, run, check)
            except Exception as exc:  # noqa: BLE001 - one run's failure reaches no other run
                self._begin_anew(run_dir, exc)
        return busy

    def _serve(self, run_dir: str, run: Run, check: bool) -> bool:
        before = run.trouble
        busy = run.serve(check)
        if run.trouble is not None and before is None:
            self._say(describe(run.trouble))
        if run.ended:
            del self._runs[run_dir]
            self._failures.pop(run_dir, None)
        elif check and run.is_abandoned:
            self._let_go(run_dir, str(run.trouble))
        return busy

    def _let_go(self, run_dir: str, why: str) -> None:
        """Stops trying to write a run: `recover` may do better."""
        run = self._runs.pop(run_dir)
        self._given_up[run_dir] = why
        self._say(f"gave up {run_dir}, its rows stay in shared memory: {why}")
        self._unreadable |= {self.address.segment(lane) for lane in run.let_go()}

    def _begin_anew(self, run_dir: str, exc: Exception) -> None:
        """After an unforeseen failure: the run goes on as if its writer had been replaced.

        Shared memory and the files have all that is needed for it. What fails again and again
        is left there, unless somebody still logs.
        """
        frame = traceback.extract_tb(exc.__traceback__)[-1]
        place = f"{os.path.basename(frame.filename)}:{frame.lineno}"
        why = f"{reason_of(exc)} ({place})"
        failures = self._count_failure(run_dir, exc)
        if failures > RESTARTS and not self._runs[run_dir].has_producers:
            self._let_go(run_dir, why)
            return
        self._say(f"{run_dir} is begun anew from shared memory after a failure: {why}")
        for number in self._runs.pop(run_dir).let_go():
            self._find_lane(number)
        if run_dir in self._runs:
            self._runs[run_dir].pause(min(failures * FAILURE_PAUSE_S, LONGEST_PAUSE_S), why)

    def _count_failure(self, run_dir: str, exc: Exception) -> int:
        """How often in a row a run has failed; memory may be there again, however often."""
        count, last = self._failures.get(run_dir, (0, 0.0))
        now = time.monotonic()
        if now - last > FORGOTTEN_S:
            count = 0
        count = min(count + 1, RESTARTS) if isinstance(exc, MemoryError) else count + 1
        self._failures[run_dir] = count, now
        return count

    @property
    def troubles(self) -> dict[str, str]:
        """What cannot be done, by the run's directory."""
        present = {
            run_dir: run.trouble for run_dir, run in self._runs.items() if run.trouble is not None
        }
        return present | self._given_up

    @property
    def unfinished(self) -> list[str]:
        """Directories of the runs that have not ended yet, or were given up."""
        return [*self._runs, *self._given_up]

    def _find_lanes(self) -> None:
        for number in sorted(self._half_claimed):
            self._half_claimed.discard(number)
            self._find_lane(number)
        while segment.exists(self.address.place, self.address.segment(self._next_lane)):
            self._find_lane(self._next_lane)
            self._next_lane += 1
        if self.words[layout.NEXT_LANE] != self._next_lane:
            self.words[layout.NEXT_LANE] = self._next_lane

    def _find_lane(self, number: int) -> None:
        """Takes a lane; one whose producer has not published its hello is looked at again."""
        try:
            lane = LaneConsumer(self.address, number)
        except FileNotFoundError:
            if segment.exists(self.address.place, self.address.segment(number)):
                self._half_claimed.add(number)
            return
        except Exception as exc:  # noqa: BLE001 - no lane, however damaged, reaches another
            self._leave_alone(number, exc)
            return
        try:
            self._take_lane(lane)
        except Exception as exc:  # noqa: BLE001 - the same
            self._leave_alone(number, exc)

    def _leave_alone(self, number: int, exc: Exception) -> None:
        self._unreadable.add(self.address.segment(number))
        self._say(f"a lane cannot be read and was left alone: {exc}")

    def _take_lane(self, lane: LaneConsumer) -> None:
        run_dir = lane.hello.run_dir
        self._served = True
        if lane.words[layout.RUN_ENDED] and lane.hello.role == "owner":
            lane.remove()  # the last one of a run whose files are final
            return
        run = self._runs.get(run_dir)
        if run is None:
            restarts = 0 if self._standing else self.words[layout.WRITER_STARTS] - 1
            run = self._runs[run_dir] = Run(lane.hello, restarts, self._signal)
            self._on_run(lane.hello.base_dir)
        run.add_lane(lane)

    def _say(self, message: str) -> None:
        try:
            os.write(2, f"expman-writer: {message}\n".encode(errors="replace"))
        except OSError:
            sys.stderr = None  # the trainer is gone, nobody listens


def remove_leftovers(address: segment.Address, unreadable: set[str]) -> None:
    """Removes what producers that died while claiming a lane left under an address.

    Lanes that could not be read stay: another version of expman may read them.
    """
    start = address.segment() + "-"
    for name in segment.list_names(address.place):
        if not name.startswith(start):
            continue
        control = "-".join(name.split("-")[:3])
        if control in unreadable:
            continue
        try:
            found = segment.attach(address.place, name)
        except FileNotFoundError:
            segment.remove(address.place, name)  # killed before it had a size
            continue
        if not found.is_locked() and not _locked(address.place, control):
            found.unlink()
        found.close()


def _locked(place: str, name: str) -> bool:
    try:
        control = segment.attach(place, name)
    except FileNotFoundError:
        return False
    try:
        return control.is_locked()
    finally:
        control.close()
