"""The producing end of a lane.

The usual row takes the hot path, see `hot_path`. Everything else (first use of a set of metric
names, a full term, records of other kinds, errors) is here, under a lock of this process.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol

from expman import notices
from expman.errors import ExpmanError, RecordTooLargeError, RunClosedError
from expman.models import LogLevel, MetricValue, RunStatus
from expman.transport import encoding, exit_record, identity, layout, ring, segment, values
from expman.transport.gate import RunGate
from expman.transport.hello import Hello
from expman.transport.hot_path import (
    MIXED,
    PLAIN,
    REFUSALS,
    RowCodec,
    Schema,
    make_log_vector,
    make_schema,
)
from expman.transport.lane import Lane, remains_of
from expman.transport.lane_control import LaneControl
from expman.transport.once import Drops, Once

__all__ = ["LaneProducer", "WaitHook"]

SCHEMA_CACHE = 1024
RECLAIM_S = 1.0
"""Spacing of a worker's tries to get a lane, where there is no memory for one."""
_CUTOFF_S = 5.0
_NO_ORDINAL = 2**64 - 1
_DROP_BYTES = 40
_UNTIL_THERE_IS_ROOM = math.inf
_FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()


class WaitHook(Protocol):
    """Called while a producer waits for the writer; False: no writer will ever come."""

    def __call__(self) -> bool: ...


class _WatchedIndex:
    """A worker's index: a store is followed by a look at whether the run ends.

    Why that is enough: the writer stores CLOSING, waits some milliseconds, and takes what is
    published by then. A producer that published and then saw no CLOSING is in time, whatever
    the processor reorders in between (`test_late_rows`).
    """

    def __init__(self, lane: LaneProducer, term: ring.Term) -> None:
        self._lane = lane
        self._index = term.index
        self._serial = term.serial
        self._words = lane.control.words

    def __setitem__(self, ordinal: int, length: int) -> None:
        self._index[ordinal] = length
        if self._words[layout.CLOSING]:
            self._lane.await_cutoff(self._serial, ordinal)


class LaneProducer:
    """Claims a lane and appends records to it.

    In a forked child it turns into a worker: its first record claims a lane of the child's own.

    Args:
        address: where the writer looks for lanes.
        hello: who logs, and into which run.
        gate: for a worker, its run's owner; a worker claims its lane with its first record.
        revive: an address whose name is gone is made anew; otherwise an owner claims no lane there.
        on_wait: for an owner, called while waiting for the writer.
        is_shown: the writer can see an owner's lane at once; otherwise not before `show`.

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
        self.gate = gate
        self._hello = hello
        self._max_bytes = hello.max_buffer_bytes
        self._drop = hello.overflow == "drop"
        self._on_wait = on_wait
        self._closed = False
        self._parents: Once[Lane | None] | None = None  # in a forked child
        self._reset()
        self.log_vector, self._set_fast = make_log_vector(
            self.log_vector_slowly, self._log_overflow, self.index_of
        )
        if gate is None:
            self._own.settle(Lane(address, hello, 2, revive=revive, is_shown=is_shown))

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._own: Once[Lane | None] = Once()  # None: closed before there was one
        self._schemas: dict[tuple[str, ...], Schema] = {}
        self._mixed: set[int] = set()  # schemas whose rows had scalars of numpy or torch
        self._schema_numbers = itertools.count()
        self._flush_numbers = itertools.count(1)
        self._drops = Drops()
        self._reclaim_at = 0.0
        self._told = False

    # -- claiming ---------------------------------------------------------------

    def show(self) -> None:
        """Has the writer see an owner's lane, at the latest before the first record."""
        self._lane.show()

    def settle(self) -> None:
        """Once an owner's lane is shown: lets go of what only that needed."""
        self._lane.show()  # show() may have been interrupted
        self._lane.settle()

    def take_back(self) -> None:
        """Removes an owner's lane that was not shown; its run counts as ended."""
        lane = self._lane
        self._closed = True
        self.control.run_ended = True
        self.let_go()
        lane.remove()

    def _claim_as_worker(self, gate: RunGate) -> Lane | None:
        """Claims a lane for this process; None: there is no memory for one at present.

        Raises:
            RunClosedError: the run has ended, or ends.
        """
        if gate.closing:
            self._closed = True
            raise RunClosedError(self.run_dir)
        if time.monotonic() < self._reclaim_at:
            return None
        try:
            lane = Lane(self.address, identity.worker_hello(gate.hello), slots=1)
        except (ExpmanError, OSError) as exc:
            if not self._reclaim_at:
                notices.warn(f"expman: pid {os.getpid()} drops what it logs: {exc}")
            self._reclaim_at = time.monotonic() + RECLAIM_S
            return None
        if gate.closing:
            self._closed = True
            lane.give_back()
            raise RunClosedError(self.run_dir)
        settled = self._own.settle(lane)
        if settled is not lane:  # a call in between claimed one, or closed
            lane.give_back()
        if settled is None:
            raise RunClosedError(self.run_dir)
        if self._drops.total:  # counted in the lane from now on
            gate.count_laneless(-self._drops.total)
        self._note_drops(settled)
        return settled

    def forget(self) -> None:
        """In a forked child: turns into an unclaimed worker. No I/O, no lock is taken.

        The parent's lane is kept in hand, so that no finalizer runs in the hook; the parent's lock
        on its lane is the parent's alone.
        """
        if self._closed:
            self._lock = threading.RLock()
            return
        if self.claimed and self.gate is None:
            self.gate = RunGate(self._lane.segment, self.control, self.address)
        self._parents = self._own
        self._reset()
        self._set_fast(None, None)

    # -- terms ------------------------------------------------------------------

    def _next_term(
        self, lane: Lane, full: ring.Term, record_bytes: int, may_drop: bool, give_up_at: float
    ) -> bool:
        """Opens the term after `full`; False: the record is to be dropped."""
        if not lane.ring.can_ever_hold(record_bytes):
            raise RecordTooLargeError(record_bytes, self._max_bytes)
        self._set_fast(None, None)
        pause_s = 50e-6
        while not lane.ring.advance(full, record_bytes):
            if (self._drop and may_drop) or time.monotonic() > give_up_at:
                return False
            if not self._may_wait():
                return False
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 5e-3)
        if lane.ring.ended:  # by a handler in the middle of this call
            raise RunClosedError(self.run_dir)
        return True

    def _may_wait(self) -> bool:
        gate = self.gate
        if gate is None:
            return self._on_wait()
        if self.control.closing:
            self._closed = True
            raise RunClosedError(self.run_dir)
        return gate.may_wait()

    def await_cutoff(self, serial: int, ordinal: int) -> None:
        """The run is closing: waits until the writer stores whether it took this record.

        Raises:
            RunClosedError: it did not.
        """
        self._closed = True
        self._set_fast(None, None)
        deadline = time.monotonic() + _CUTOFF_S
        while (cutoff := self.control.cutoff) is None:
            if time.monotonic() > deadline:
                return  # no writer is at work; its successor takes what is published
            time.sleep(0.001)
        if not cutoff.includes(serial, ordinal):
            raise RunClosedError(self.run_dir)

    # -- publishing (under the lock) ----------------------------------------------

    def index_of(self, term: ring.Term) -> Any:
        """Where the lengths of a term's records are stored."""
        return term.index if self.gate is None else _WatchedIndex(self, term)

    def _append(self, term: ring.Term, tag: int, *fields: object) -> int:
        """Publishes one record in the term; returns 0, or its size if it does not fit."""
        ordinal = next(term.ordinal, _NO_ORDINAL)
        payload = encoding.encode((tag, ordinal, time.time_ns(), *fields))
        if ordinal == _NO_ORDINAL:
            return len(payload)
        mark = 0 if tag == encoding.VECTOR else layout.OTHER
        try:
            self.index_of(term)[ordinal] = term.data.write(payload) | mark
            if tag == encoding.DROP:
                term.drops += (rows for rows in fields if isinstance(rows, int))
        except ValueError:
            term.void(ordinal)
            return len(payload)
        return 0

    def _enter(self) -> Lane | None:
        """The lane to publish in; None: drop, there is no memory for one.

        Raises:
            RunClosedError: after close(), or after the run's end.
        """
        lane, gate = self._own.get(None), self.gate  # before the look: they can still be used
        if self._closed:
            raise RunClosedError(self.run_dir)
        if lane is None and gate is not None:
            return self._claim_as_worker(gate)
        return lane

    def publish(
        self,
        tag: int,
        *fields: object,
        may_drop: bool = False,
        give_up_at: float = _UNTIL_THERE_IS_ROOM,
    ) -> bool:
        """Appends one record; False: it was dropped.

        Raises:
            RunClosedError: after close().
            RecordTooLargeError: if it does not fit into the whole buffer.
        """
        with self._lock:
            while (lane := self._enter()) is not None:
                size = self._append(term := lane.ring.term, tag, *fields)
                if not size:
                    return True
                if not self._next_term(lane, term, size, may_drop, give_up_at):
                    if not may_drop:
                        self._tell_of_drops()
                    return False
            return False

    def _tell_of_drops(self) -> None:
        if not self._told:
            self._told = True
            notices.warn(
                f"expman: messages, scalars and the like of {self.run_dir} are dropped: the "
                "buffer is full and no writer takes from it"
            )

    def _publish_vector(
        self,
        schema: Schema,
        row: tuple[object, ...],
        step: int | None,
        full: ring.Term | None = None,
    ) -> None:
        """Publishes a row, or drops it; it is known not to fit into the term `full`."""
        while (lane := self._enter()) is not None:
            term = lane.ring.term
            if term is not full and self._append_vector(term, schema, row, step):
                return
            # Every term defines the schemas that it uses: the next one needs room for both.
            size = len(encoding.encode((encoding.VECTOR, _NO_ORDINAL, _NO_ORDINAL, step, 0, row)))
            size += len(
                encoding.encode((encoding.SCHEMA, _NO_ORDINAL, _NO_ORDINAL, 0, schema.keys))
            )
            if not self._next_term(lane, term, size + _DROP_BYTES, True, _UNTIL_THERE_IS_ROOM):
                break
        self._drop_row()

    def _append_vector(
        self, term: ring.Term, schema: Schema, row: tuple[object, ...], step: int | None
    ) -> bool:
        """Publishes a row and what must come before it; False: the term is full.

        What is noted is noted after it was published: a call in between publishes it once more.
        """
        if self._drops.unsaid:
            dropped = self._drops.take()
            if dropped and self._append(term, encoding.DROP, dropped):
                self._drops.put_back(dropped)
                return False
        if schema.number not in term.defined:
            if self._append(term, encoding.SCHEMA, schema.number, schema.keys):
                return False
            term.defined.add(schema.number)
        return not self._append(term, encoding.VECTOR, step, schema.number, row)

    def _drop_row(self) -> None:
        if not self._drops.add():
            raise RunClosedError(self.run_dir)
        lane, gate = self._own.get(None), self.gate
        if lane is not None:
            self._note_drops(lane)
        elif gate is not None:
            gate.count_laneless(1)

    def _note_drops(self, lane: Lane) -> None:
        while lane.control.dropped_rows != self._drops.total:
            lane.control.dropped_rows = self._drops.total

    def log_vector_slowly(self, values_: Mapping[str, object], step: object) -> None:
        """Checks a row in full, publishes it, and sets the fast path to its metric names.

        Raises:
            TypeError, ValueError: naming the key and the type; nothing is logged.
            RunClosedError: after close().
        """
        with self._lock:
            enters = self._enter() is not None
            row = values.plain_row(values_)
            plain_step = values.plain_step(step)
            if not enters:
                self._drop_row()
                return
            keys = tuple(row)
            schema = self._schemas.get(keys) or self._define(keys)
            self._publish_vector(schema, tuple(row.values()), plain_step)
            if str in map(type, row.values()):
                return  # the fast path refuses text
            if not values.are_numbers(values_):
                if not values.learn_types(values_.values(), row.values(), encoding.encode):
                    return
                self._mixed.add(schema.number)
            self._go_fast(schema)

    def _log_overflow(
        self,
        schema: Schema,
        term: ring.Term,
        codec: RowCodec,
        ordinal: int,
        row: tuple[object, ...],
        step: int | None,
    ) -> bool:
        """See `hot_path.Overflow`; spares a wide row the checks of the slow path."""
        term.void(ordinal)
        try:
            codec.encode((step, row))
            codec.check(row, row)
        except REFUSALS:
            return False
        with self._lock:
            self._publish_vector(schema, row, step, full=term)
            self._go_fast(schema)
        return True

    def _go_fast(self, schema: Schema) -> None:
        lane = self._own.get(None)
        if lane is None or self._closed or self._drops.unsaid:
            return  # dropped: a shorter row may still fit, but only behind what was dropped
        term = lane.ring.term
        if schema.keys and schema.number in term.defined and not _FREE_THREADED:
            self._set_fast(schema, term, MIXED if schema.number in self._mixed else PLAIN)
        if self._closed:  # by a call in between; the term's memory is not to be kept
            self._set_fast(None, None)

    def _define(self, keys: tuple[str, ...]) -> Schema:
        if len(self._schemas) >= SCHEMA_CACHE:
            self._schemas.clear()
            self._mixed.clear()
        # A call in between may number the same names, too: both numbers are good.
        schema = self._schemas[keys] = make_schema(next(self._schema_numbers), keys)
        return schema

    # -- the other records --------------------------------------------------------

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
        if not self._acquire(timeout_s):
            return None
        try:
            if self.gate is not None and not self.claimed:
                return 0  # a worker that has logged nothing
            number = next(self._flush_numbers)
            return number if self.publish(encoding.FLUSH, number, give_up_at=give_up_at) else None
        finally:
            self._lock.release()

    def close(self, status: RunStatus, reason: str | None, timeout_s: float) -> bool:
        """Publishes the sentinel and seals the lane.

        Interrupted by an exception it may be called again. Interrupted by another close() it
        finds the lane's end.

        Returns:
            False: the lock, or memory for the record, could not be had in time.
        """
        give_up_at = time.monotonic() + timeout_s
        if not self._acquire(timeout_s):
            return False
        try:
            if self._closed:
                return True
            lane = self._own.settle(None)
            if lane is not None:
                if not self._publish_end(lane, status, reason, give_up_at):
                    return False
                lane.seal()
            self._closed = True
            self._set_fast(None, None)
            return True
        finally:
            self._lock.release()

    def _publish_end(
        self, lane: Lane, status: RunStatus, reason: str | None, give_up_at: float
    ) -> bool:
        try:
            self._drops.close()
            dropped = self._drops.take()
            if dropped and not self.publish(encoding.DROP, dropped, give_up_at=give_up_at):
                self._drops.put_back(dropped)
            self._note_drops(lane)
            return self.publish(encoding.SENTINEL, status, reason, give_up_at=give_up_at)
        except RunClosedError:
            if lane.ring.ended:  # by a close() that was interrupted here, or that came in between
                return True
            raise

    def _acquire(self, timeout_s: float) -> bool:
        return self._lock.acquire(timeout=min(max(timeout_s, 0), threading.TIMEOUT_MAX))

    def store_exit_status(self) -> None:
        """Has libc store what the process ends with, see `exit_record`.

        Raises:
            OSError: it cannot.
        """
        exit_record.arm(self.control, self._lane)

    def let_go(self) -> None:
        """After close(): gives back descriptors and memory, as far as no call has them in hand.

        The control's last words stay.
        """
        lane = self._own.get(None)
        if not self._closed:
            return
        remains: Once[Lane | None] = Once()
        remains.settle(remains_of(lane, self._hello))
        self._own = remains
        self._parents = None
        self.gate = None
        self._set_fast(None, None)

    @property
    def claimed(self) -> bool:
        """Whether this process has a lane."""
        return self._own.get(None) is not None

    @property
    def _lane(self) -> Lane:
        lane = self._own.get(None)
        assert lane is not None
        return lane

    @property
    def lane(self) -> int:
        """Number of the lane that was claimed."""
        return self._lane.number

    @property
    def control(self) -> LaneControl:
        """Its control; for a worker without a lane, the owner's."""
        lane, gate = self._own.get(None), self.gate
        if lane is None:
            assert gate is not None
            return gate.control
        return lane.control

    @property
    def dropped_rows(self) -> int:
        """Rows dropped so far by the overflow policy."""
        return self._drops.total
