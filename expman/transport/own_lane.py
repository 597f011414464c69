"""The lane of this process: when it is claimed, what a fork makes of it, when it ends."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import NoReturn, Protocol

from expman import notices
from expman.errors import ExpmanError, RunClosedError, SharedMemoryError
from expman.transport import identity, layout, segment
from expman.transport.drops import Drops
from expman.transport.gate import RunGate
from expman.transport.hello import Hello
from expman.transport.lane import Lane, remains_of
from expman.transport.lane_control import LaneControl
from expman.transport.once import Once

__all__ = ["EndNote", "OwnLane", "WaitHook"]

RECLAIM_S = 1.0
"""Spacing of a worker's attempts to get a lane, where there is no memory for one."""


class WaitHook(Protocol):
    """Called while a producer waits for the writer; False: no writer will ever come."""

    def __call__(self) -> bool: ...


class EndNote(Protocol):
    """Notes how a worker ends, from when it has claimed its lane."""

    def cancel(self) -> None:
        """Notes nothing any more."""
        ...


class OwnLane:
    """The lane of this process. An owner claims it at once, a worker with its first record.

    In a forked child it becomes the lane of a worker that has claimed none.

    Args:
        address: where the writer looks for lanes.
        hello: who logs, and into which run.
        gate: for a worker, its run's owner.
        on_wait: for an owner, called while waiting for the writer.

    Attributes:
        address, hello: as given.
        lock: held by each call that is not on the fast path; of this process alone.
        gate: for a worker, its run's owner.
        drops: rows that this process has dropped.
        on_claim: called when a worker has claimed its lane; returns what notes how it ends.
    """

    def __init__(
        self, address: segment.Address, hello: Hello, gate: RunGate | None, on_wait: WaitHook
    ) -> None:
        self.address = address
        self.gate = gate
        self.hello = hello
        self.on_claim: Callable[[], EndNote | None] = lambda: None
        self._end: EndNote | None = None
        self._on_wait = on_wait
        self._closed = False
        self._parents: Once[Lane | None] | None = None  # in a forked child
        self._begin()

    def _begin(self) -> None:
        self.lock = threading.RLock()
        self._lane: Once[Lane | None] = Once()  # None: closed before there was one
        self.drops = Drops()
        self._reclaim_at = 0.0

    @property
    def run_dir(self) -> str:
        """Directory of the run."""
        return self.hello.run_dir

    @property
    def lane(self) -> Lane | None:
        """The lane; None before it is claimed."""
        return self._lane.get(None)

    @property
    def claimed(self) -> Lane:
        """The lane, which has been claimed."""
        lane = self.lane
        assert lane is not None
        return lane

    @property
    def control(self) -> LaneControl:
        """Its control; for a worker without a lane, the owner's."""
        lane, gate = self.lane, self.gate
        if lane is None:
            assert gate is not None
            return gate.control
        return lane.control

    @property
    def closed(self) -> bool:
        """True if no record is taken any more: after close(), or because the run ends."""
        lane = self._lane.get(None)
        cutoff = None if lane is None else lane.cutoff
        return self._closed or (cutoff is not None and cutoff.is_closing)

    # -- claiming -----------------------------------------------------------------

    def claim(self, *, revive: bool, is_shown: bool) -> None:
        """Claims an owner's lane, see `Lane`."""
        self._lane.settle(Lane(self.address, self.hello, 2, revive=revive, is_shown=is_shown))

    def enter(self) -> Lane | None:
        """The lane to publish in; None: drop, there is no memory for one.

        Raises:
            RunClosedError: after close(), or after the run's end.
        """
        lane, gate = self._lane.get(None), self.gate  # before the look: they can still be used
        if self.closed:
            raise RunClosedError(self.run_dir)
        if lane is None and gate is not None:
            return self._claim_as_worker(gate)
        return lane

    def _claim_as_worker(self, gate: RunGate) -> Lane | None:
        if gate.closing:
            self.refuse()
        if time.monotonic() < self._reclaim_at:
            return None
        try:
            is_relay = self.hello.role == "relay"
            hello = identity.worker_hello(gate.hello, is_relay=is_relay)
            lane = Lane(self.address, hello, slots=1)
        except (ExpmanError, OSError) as exc:
            if not self._reclaim_at:
                if isinstance(exc, OSError):
                    tried = [f"{self.address.place}: {exc.strerror or exc}"]
                    exc = SharedMemoryError(layout.CONTROL_BYTES, tried, exc.errno)
                notices.warn(f"expman: pid {os.getpid()} drops the rows that it logs: {exc}")
            self._reclaim_at = time.monotonic() + RECLAIM_S
            return None
        if gate.closing:
            lane.give_back()
            self.refuse()
        settled = self._lane.settle(lane)
        if settled is not lane:  # a call in between claimed one, or closed
            lane.give_back()
        if settled is None or self.closed:  # closed in between; what is settled may be remains
            raise RunClosedError(self.run_dir)
        if self.drops.total:  # counted in the lane from now on
            gate.count_laneless(-self.drops.total)
        self.note_drops(settled)
        if settled is lane:
            self._end = self.on_claim()
        return settled

    def refuse(self) -> NoReturn:
        """The run ends: takes no more records.

        Raises:
            RunClosedError: always.
        """
        self._closed = True
        raise RunClosedError(self.run_dir)

    def may_wait(self) -> bool:
        """True if a call may go on waiting for the writer.

        Raises:
            RunClosedError: the run ends.
        """
        gate = self.gate
        if gate is None:
            return self._on_wait()
        if self.control.closing:
            self.refuse()
        return gate.may_wait()

    def forget(self) -> None:
        """In a forked child: becomes an unclaimed worker's. No I/O, no lock is taken.

        The parent's lane is kept in hand, so that no finalizer runs in the hook; the parent's lock
        on its lane is the parent's alone.
        """
        lane = self.lane
        if self.closed:
            self.lock = threading.RLock()
            return
        if lane is not None and self.gate is None:
            self.gate = RunGate(lane.segment, lane.control, self.address)
        self._parents, self._end = self._lane, None
        self._begin()

    # -- dropping -----------------------------------------------------------------

    def count_drop(self) -> None:
        """Counts a dropped row where the writer and readers see it.

        Raises:
            RunClosedError: the lane has ended.
        """
        if not self.drops.add():
            raise RunClosedError(self.run_dir)
        lane, gate = self.lane, self.gate
        if lane is not None:
            self.note_drops(lane)
        elif gate is not None:
            gate.count_laneless(1)

    def note_drops(self, lane: Lane) -> None:
        """Stores the count in the lane, again if a call in between has stored another one.

        DROPPED_ROWS is for readers: only this process stores it, and it may lag behind the records
        that report drops.
        """
        while lane.control.dropped_rows != (total := self.drops.total):
            lane.control.dropped_rows = total

    # -- the end ------------------------------------------------------------------

    def end(self) -> Lane | None:
        """Claims no lane any more; returns the one that there is."""
        return self._lane.settle(None)

    def close(self) -> None:
        """Takes no more records."""
        self._closed = True

    def let_go(self) -> None:
        """Gives back, once closed, the descriptors and memory that no call still uses.

        The control's last words stay.
        """
        remains: Once[Lane | None] = Once()
        remains.settle(remains_of(self.lane, self.hello))
        self._closed = True
        self._lane = remains
        self._parents = None
        self.gate = None
        end, self._end = self._end, None
        if end is not None:
            end.cancel()

    def acquire(self, timeout_s: float) -> bool:
        """Takes the lock; False: it could not be had in time."""
        return self.lock.acquire(timeout=min(max(timeout_s, 0), threading.TIMEOUT_MAX))
