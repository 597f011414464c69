"""The producing end of a lane.

A row's way: `log_vector` (`hot_path`) appends it to the open term (`term`) and is done. A row that
it does not take goes on to `row_log` (checks, names), `publisher` (records, full terms, drops),
`own_lane` (which lane) and `ring` (the next term). Each knows only those behind it.
"""

from __future__ import annotations

import itertools
import time
import weakref
from collections.abc import Callable, Mapping

from expman.errors import RunClosedError
from expman.models import LogLevel, MetricValue, RunStatus
from expman.transport import encoding, exit_record, segment, values
from expman.transport.gate import RunGate
from expman.transport.hello import Hello
from expman.transport.lane import Lane
from expman.transport.lane_control import LaneControl
from expman.transport.own_lane import EndNote, OwnLane, WaitHook
from expman.transport.row_log import RowLog
from expman.transport.spool_memory import MemorySpools

__all__ = ["LaneProducer", "WaitHook"]


class LaneProducer:
    """Claims a lane and publishes records in it.

    In a forked child it becomes a worker: its first record claims a lane of the child's own.

    Args:
        address: where the writer looks for lanes.
        hello: who logs, and into which run.
        gate: for a worker, its run's owner; a worker claims its lane with its first record.
        revive: an address whose name is gone is made anew; otherwise an owner claims no lane there.
        on_wait: for an owner, called while waiting for the writer.
        is_shown: the writer can see an owner's lane at once; otherwise not before `show`.

    Attributes:
        address: where the writer looks for lanes.
        run_dir: directory of the run.
        log_vector: logs a row, see `LoggingEngine.log_vector`.
        publish: publishes a record of any other kind, see `Publisher.publish`.
        offer: does so if it need not wait, see `Publisher.offer`.

    Raises:
        SharedMemoryError: if no memory can be had for an owner's first term.
        FileNotFoundError: the address is gone, and is not to be made anew.
    """

    def __init__(
        self,
        address: segment.Address,
        hello: Hello,
        *,
        gate: RunGate | None = None,
        revive: bool = True,
        on_wait: WaitHook = lambda: True,
        is_shown: bool = True,
    ) -> None:
        self.address = address
        self.run_dir = hello.run_dir
        self._own = OwnLane(address, hello, gate, on_wait)
        self._rows = RowLog(self._own, hello.max_buffer_bytes, drops_rows=hello.overflow == "drop")
        self.publish = self._rows.publisher.publish
        self.offer = self._rows.publisher.offer
        self._flush_numbers = itertools.count(1)
        self.log_vector = self._rows.fast.log_vector
        if gate is None:
            self._own.claim(revive=revive, is_shown=is_shown)

    def show(self) -> None:
        """Has the writer see an owner's lane, at the latest before the first record."""
        self._own.claimed.show()

    def settle(self) -> None:
        """Gives back, once an owner's lane is shown, what only showing it needed."""
        self._own.claimed.show()  # show() may have been interrupted
        self._own.claimed.settle()

    def take_back(self) -> None:
        """Removes an owner's lane that was not shown; its run counts as ended."""
        lane = self._own.claimed
        lane.control.run_ended = True
        self._own.let_go()
        self._rows.fast.clear()
        lane.remove()

    def forget(self) -> None:
        """In a forked child: becomes an unclaimed worker. No I/O, no lock is taken."""
        was_closed = self._own.closed
        self._own.forget()
        if not was_closed:
            self._flush_numbers = itertools.count(1)
            self._rows.forget()

    # -- records other than rows ----------------------------------------------------

    def log_row_at(
        self, values_: Mapping[str, object], step: object, logged_at_ns: int | None
    ) -> None:
        """Logs a row with a time of its own; None: now."""
        self._rows.log_at(values_, step, values.plain_time(logged_at_ns))

    def log_scalar(self, key: str, value: MetricValue) -> None:
        """Publishes a scalar."""
        self.publish(encoding.SCALAR, key, value)

    def log_params(self, params: values.PlainValue) -> None:
        """Publishes parameters."""
        self.publish(encoding.PARAMS, encoding.wire_params(params))

    def log_message(self, level: LogLevel, message: str) -> None:
        """Publishes a line of run.log."""
        self.publish(encoding.LOG, level, message)

    def save_artifact(self, source: str, staged: str | None, target: str) -> None:
        """Publishes the request to copy a file."""
        self.publish(encoding.ARTIFACT, source, staged, target)

    def request_flush(self, timeout_s: float) -> int | None:
        """Publishes a flush mark; returns its number, or None if the lock cannot be had."""
        give_up_at = time.monotonic() + timeout_s
        if not self._own.acquire(timeout_s):
            return None
        try:
            if self.gate is not None and not self.claimed:
                return 0  # a worker that has logged nothing
            number = next(self._flush_numbers)
            return number if self.publish(encoding.FLUSH, number, give_up_at=give_up_at) else None
        finally:
            self._own.lock.release()

    def offer_message(self, level: LogLevel, message: str) -> None:
        """Publishes a line of run.log if it need not wait."""
        self.offer(encoding.LOG, level, message)

    # -- the end --------------------------------------------------------------------

    def watch_end(self, watch: Callable[[LaneProducer], EndNote]) -> None:
        """Has `watch` called when this process, a worker, claims its lane."""
        this = weakref.ref(self)

        def on_claim() -> EndNote | None:
            producer = this()
            return None if producer is None else watch(producer)

        self._own.on_claim = on_claim

    def close(self, status: RunStatus, reason: str | None, timeout_s: float) -> bool:
        """Publishes the sentinel and seals the lane.

        Interrupted by an exception it may be called again. Interrupted by another close() it
        finds the lane's end.

        Returns:
            False: the lock, or memory for the record, could not be had in time.
        """
        give_up_at = time.monotonic() + timeout_s
        if not self._own.acquire(timeout_s):
            return False
        try:
            lane = self._own.end()
            # Looked at afterwards: a close() in between may have let go of the lane.
            if lane is not None and not self._own.closed:
                if not self._publish_end(lane, status, reason, give_up_at):
                    return False
                lane.seal()
            self._own.close()
            self._rows.fast.clear()
            return True
        finally:
            self._own.lock.release()

    def _publish_end(
        self, lane: Lane, status: RunStatus, reason: str | None, give_up_at: float
    ) -> bool:
        try:
            self._own.drops.close()
            self._rows.publisher.report_drops(give_up_at)
            self._own.note_drops(lane)
            return self.publish(encoding.SENTINEL, status, reason, give_up_at=give_up_at)
        except RunClosedError:
            if lane.ring.ended:  # by a close() that was interrupted here, or that came in between
                return True
            raise

    def store_exit_status(self) -> None:
        """Has libc store what the process ends with, see `exit_record`.

        Raises:
            OSError: it cannot.
        """
        exit_record.arm(self.control, self._own.claimed)

    def let_go(self) -> None:
        """Gives back, after close(), the descriptors and memory that no call still uses.

        The control's last words stay.
        """
        if self._own.closed:
            self._own.let_go()
            self._rows.fast.clear()

    # -- what there is to know ------------------------------------------------------

    @property
    def claimed(self) -> bool:
        """True if this process has a lane."""
        return self._own.lane is not None

    @property
    def spools(self) -> MemorySpools | None:
        """Spools in shared memory; None before this process has a lane, and after its end."""
        lane = self._own.lane
        return None if lane is None else lane.spools

    @property
    def gate(self) -> RunGate | None:
        """For a worker, its run's owner."""
        return self._own.gate

    @property
    def lane(self) -> int:
        """Number of the lane that was claimed."""
        return self._own.claimed.number

    @property
    def control(self) -> LaneControl:
        """The lane's control; for a worker without a lane, the owner's."""
        return self._own.control

    @property
    def dropped_rows(self) -> int:
        """Rows dropped so far by the overflow policy."""
        return self._own.drops.total
