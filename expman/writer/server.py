"""The writer's loop: find lanes, serve their runs, end when it is time."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

from expman.failpoints import hit
from expman.models import reason_of
from expman.transport import segment
from expman.transport.consumer import LaneConsumer
from expman.transport.liveness import mark_of
from expman.writer.arrivals import Arrivals
from expman.writer.held import HeldAddress
from expman.writer.run import Run, describe

__all__ = ["Server", "remove_leftovers"]

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
        self._held = HeldAddress(address)
        self._arrivals = Arrivals(self._held, self._say)
        # A predecessor was removing the address: it may have removed the last lane before.
        control = self._held.control
        self._served = control.stopping and control.served
        if standing:
            control.stopping = False
        self._standing = standing
        self._on_run = on_run
        self._runs: dict[str, Run] = {}
        self._failures: dict[str, tuple[int, float]] = {}
        self._given_up: dict[str, str] = {}
        self._deadline: float | None = None
        self._signal: str | None = None
        self._next_liveness = 0.0
        self._starter = starter
        self._said: set[str] = set()

    def stop_soon(self, number: int = signal.SIGTERM, *_: object) -> None:
        """SIGTERM: takes no new runs, and ends with the present ones or at the deadline."""
        if self._deadline is None:
            self._deadline = time.monotonic() + DRAIN_S
            self._held.control.stopping = True
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
            if not self._runs and self._is_unwanted() and self.remove_address():
                return True
            if self._deadline is not None and now > self._deadline:
                self.leave()
                return False
            pause_s = BUSY_PAUSE_S if busy else min(pause_s * 1.5, IDLE_PAUSE_S)
            urgent = any(run.is_urgent for run in self._runs.values())
            time.sleep(URGENT_PAUSE_S if urgent else pause_s)

    def _is_unwanted(self) -> bool:
        """Whether who started this writer has ended, or given up, before the first lane."""
        given_up = self._held.control.given_up
        return not self._standing and (given_up or self._starter_is_gone())

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
        self._held.control.stopping = True
        hit("address-before-remove")
        self._held.remove()
        self._find_lanes(every=True)
        if self._runs:
            with contextlib.suppress(OSError):  # the next round tries again
                self._held.renew()
            return False
        remove_leftovers(self.address, self._arrivals.unreadable)
        self._held.close()
        return True

    def step(self) -> bool:
        """One round over all runs; whether there was something to do."""
        self._find_lanes()
        now = time.monotonic()
        check = now >= self._next_liveness
        if check:
            self._next_liveness = now + LIVENESS_SPACING_S
            self._held.check()  # that no successor is at work: it would touch nothing then
            if self._held.lost_its_name() and not self._held.control.given_up:
                self._go_on_without_names()
        busy = False
        for run_dir, run in list(self._runs.items()):
            try:
                busy |= self._serve(run_dir, run, check)
            except Exception as exc:  # noqa: BLE001 - one run's failure reaches no other run
                self._begin_anew(run_dir, exc)
        return busy

    def _serve(self, run_dir: str, run: Run, check: bool) -> bool:
        before = run.trouble
        run.waits_for = self._arrivals.waits_for
        if len(self._runs) == 1 and not self._standing:  # otherwise whose they are is not known
            run.unreadable = self._arrivals.problems
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
        for lane in run.let_go():
            self._arrivals.leave_alone(lane.lane)
            lane.close()

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
        for lane in self._runs.pop(run_dir).let_go():
            self._arrivals.reopen(lane)
        self._find_lanes(every=True)
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

    def _go_on_without_names(self) -> None:
        """Names of shared memory were removed under a run: what has its memory goes on with it."""
        try:
            renewed = self._held.renew()
        except OSError as exc:
            self._say_once(f"{self.address} was removed and cannot be made anew: {exc}")
            return
        if not renewed:
            return
        message = (
            f"names of this run's shared memory in {self.address.place} were removed by somebody "
            "else (systemd-logind's RemoveIPC, a cleaner); no row is lost as long as the run's "
            "processes live"
        )
        self._say(message)
        self._find_lanes(every=True, nameless=True)
        for run in self._runs.values():
            run.warn(message)

    def _find_lanes(self, *, every: bool = False, nameless: bool = False) -> None:
        for lane in self._arrivals.look(every=every, nameless=nameless):
            try:
                self._take_lane(lane)
            except Exception as exc:  # noqa: BLE001 - no lane, however damaged, reaches another
                self._arrivals.leave_alone(lane.lane, exc)

    def _take_lane(self, lane: LaneConsumer) -> None:
        run_dir = lane.hello.run_dir
        self._served = True
        self._held.control.served = True
        if lane.control.run_ended and lane.hello.role == "owner":
            lane.remove()  # the last one of a run whose files are final
            return
        run = self._runs.get(run_dir)
        if run is None:
            run = self._runs[run_dir] = Run(lane.hello, self._signal)
            self._on_run(lane.hello.base_dir)
        run.add_lane(lane)

    def _say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self._say(message)

    def _say(self, message: str) -> None:
        try:
            os.write(2, f"expman-writer: {message}\n".encode(errors="replace"))
        except OSError:
            sys.stderr = None  # the trainer is gone, nobody listens


def remove_leftovers(address: segment.Address, unreadable: set[str]) -> None:
    """Removes what producers that died while claiming a lane left under an address.

    Lanes that could not be read stay: another version of expman may read them.
    """
    for name in segment.list_names(address.place, address.segment() + "-"):
        control = "-".join(name.split("-")[:3])
        if control in unreadable:
            continue
        try:
            found = segment.attach(address.place, name)
        except FileNotFoundError:
            segment.remove(address.place, name)  # killed before it had a size
            continue
        except OSError:
            continue
        if not found.is_locked() and not _locked(address.place, control):
            found.unlink()
        found.close()


def _locked(place: str, name: str) -> bool:
    try:
        control = segment.attach(place, name)
    except OSError:
        return False
    try:
        return control.is_locked()
    finally:
        control.close()
