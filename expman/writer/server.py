"""The writer's loop: find lanes, serve their runs, end when it is time."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable

from expman.failpoints import hit
from expman.transport import segment
from expman.transport.consumer import LaneConsumer
from expman.transport.hello import Hello
from expman.writer.arrivals import Arrivals
from expman.writer.failures import RESTARTS, Failures, pause_s, place_of
from expman.writer.held import HeldAddress
from expman.writer.leftovers import remove_leftovers
from expman.writer.lifetime import Lifetime
from expman.writer.retry import describe
from expman.writer.run import RunWriter

__all__ = ["Server"]

URGENT_PAUSE_S = 0.001
BUSY_PAUSE_S = 0.005
IDLE_PAUSE_S = 0.04
LIVENESS_SPACING_S = 0.2


class Server:
    """Serves one address.

    Args:
        address: where producers claim their lanes.
        standing: goes on without runs, until it gets a signal to end; otherwise it ends with its
            runs.
        starter: the process that claims the first lane, see `mark_of`; the server ends if that
            process has ended and left none.
        on_run: called with the hello of each run that is found.

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
        on_run: Callable[[Hello], None] = lambda hello: None,
    ) -> None:
        self.address = address
        self._held = HeldAddress(address)
        self._lifetime = Lifetime(self._held, standing=standing, starter=starter)
        self._arrivals = Arrivals(self._held, _warn)
        self._on_run = on_run
        self._runs: dict[str, RunWriter] = {}
        self._nameless: set[str] = set()  # runs whose lost names were reported
        self._failures = Failures()
        self._next_liveness = 0.0
        self._has_warned = False

    def stop_soon(self, number: int = signal.SIGTERM, *_: object) -> None:
        """SIGTERM: takes no new runs, and ends with the present ones or at the deadline."""
        if self._lifetime.stop_soon(number):
            for run in self._runs.values():
                run.end.stop_reason = self._lifetime.stop_reason

    def serve(self) -> bool:
        """Runs until it is time to end; whether every run was finished."""
        pause_s = BUSY_PAUSE_S
        while True:
            busy = self.step()
            may_end = self.finished or (self.idle and self._lifetime.is_unwanted)
            if may_end and self.remove_address():
                return True
            if self._lifetime.is_over:
                self.leave()
                return False
            pause_s = BUSY_PAUSE_S if busy else min(pause_s * 1.5, IDLE_PAUSE_S)
            urgent = any(run.is_urgent for run in self._runs.values())
            time.sleep(URGENT_PAUSE_S if urgent else pause_s)

    @property
    def idle(self) -> bool:
        """True if it has no run."""
        return not self._runs

    @property
    def finished(self) -> bool:
        """True if there is nothing left to do, and nothing to wait for."""
        return self.idle and self._lifetime.is_finished

    @property
    def write_errors(self) -> dict[str, str]:
        """Present problems, by the run's directory."""
        present = {
            run_dir: run.write_error
            for run_dir, run in self._runs.items()
            if run.write_error is not None
        }
        return present | self._failures.given_up

    @property
    def unfinished(self) -> list[str]:
        """Directories of the runs that have not ended yet, or were given up."""
        return [*self._runs, *self._failures.given_up]

    def leave(self) -> None:
        """Makes durable what can be, and leaves the runs to a successor."""
        for run in self._runs.values():
            run.leave()

    def remove_address(self) -> bool:
        """Removes the address, so that no lane can be claimed under it any more.

        Returns:
            False: a lane was claimed just before, or cannot be opened at present; it is served
                first.
        """
        if self._arrivals.may_find_more:
            return False
        self._held.control.stopping = True
        hit("address-before-remove")
        self._held.remove()
        self._find_lanes(every=True)
        if self._runs or self._arrivals.may_find_more:
            with contextlib.suppress(OSError):  # the next round tries again
                self._held.renew()
            return False
        if self._arrivals.waits_for is None:  # otherwise `recover` finds what is in that lane
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

    def _serve(self, run_dir: str, run: RunWriter, check: bool) -> bool:
        before = run.write_error
        run.waits_for = self._arrivals.waits_for
        if len(self._runs) == 1 and not self._lifetime.is_standing:
            run.unreadable = self._arrivals.problems  # otherwise whose they are is not known
        busy = run.serve(check)
        if run.write_error is not None and before is None:
            _warn(describe(run.write_error))
        if run.has_ended:
            del self._runs[run_dir]
            self._nameless.discard(run_dir)
            self._failures.forget(run_dir)
        elif check and run.is_abandoned:
            self._let_go(run_dir, str(run.write_error))
        return busy

    # -- failures -----------------------------------------------------------------------

    def _let_go(self, run_dir: str, why: str) -> None:
        """Stops trying to write a run: `recover` may do better."""
        run = self._runs.pop(run_dir)
        self._failures.given_up[run_dir] = why
        _warn(f"gave up {run_dir}, its rows stay in shared memory: {why}")
        for lane in run.let_go():
            self._arrivals.leave_alone(lane.lane)
            lane.close()

    def _begin_anew(self, run_dir: str, exc: Exception) -> None:
        """After an unforeseen failure: the run goes on as if its writer had been replaced.

        Shared memory and the files have all that is needed for it. What fails again and again
        is left there, unless somebody still logs.
        """
        why, count = place_of(exc), self._failures.add(run_dir, exc)
        if count > RESTARTS and not self._runs[run_dir].lanes.has_producers:
            self._let_go(run_dir, why)
            return
        _warn(f"{run_dir} is begun anew from shared memory after a failure: {why}")
        for lane in self._runs.pop(run_dir).let_go():
            self._arrivals.reopen(lane)
        self._find_lanes(every=True)
        if run_dir in self._runs:
            self._runs[run_dir].retry.pause(pause_s(count), why)

    def _go_on_without_names(self) -> None:
        """Names of shared memory were removed under a run: what has its memory goes on with it."""
        try:
            renewed = self._held.renew()
        except OSError as exc:
            if not self._has_warned:
                self._has_warned = True
                _warn(f"{self.address} was removed and cannot be made anew: {exc}")
            return
        if not renewed:
            return
        self._find_lanes(every=True, nameless=True)
        self._warn_of_lost_names(self._runs)

    def _warn_of_lost_names(self, run_dirs: Iterable[str]) -> None:
        """Warns, once for each run, that a recovery would not find what is in memory."""
        unwarned = set(run_dirs) - self._nameless
        if not unwarned:
            return
        self._nameless |= unwarned
        message = (
            f"names of this run's shared memory in {self.address.place} were removed by somebody "
            "else (systemd-logind's RemoveIPC, a cleaner); no row is lost as long as the run's "
            "processes live"
        )
        _warn(message)
        for run_dir in unwarned:
            self._runs[run_dir].warn(message)

    # -- lanes --------------------------------------------------------------------------

    def _find_lanes(self, *, every: bool = False, nameless: bool = False) -> None:
        for lane in self._arrivals.look(every=every, nameless=nameless):
            try:
                self._take_lane(lane)
            except Exception as exc:  # noqa: BLE001 - no lane, however damaged, reaches another
                self._arrivals.leave_alone(lane.lane, exc)

    def _take_lane(self, lane: LaneConsumer) -> None:
        run_dir = lane.hello.run_dir
        self._lifetime.note_served()
        if lane.control.run_ended and lane.hello.role == "owner":
            lane.remove()  # the last one of a run whose files are final
            return
        run = self._runs.get(run_dir)
        if run is None:
            run = self._runs[run_dir] = RunWriter(lane.hello, self._lifetime.stop_reason)
            self._on_run(lane.hello)
        run.lanes.add(lane)
        if lane.is_nameless:
            self._warn_of_lost_names([run_dir])


def _warn(message: str) -> None:
    try:
        os.write(2, f"expman-writer: {message}\n".encode(errors="replace"))
    except OSError:
        sys.stderr = None  # the trainer is gone, nobody listens
