"""The producing end of a lane.

The hot path is `log_vector`, a closure: no lock, no system call, two C calls that touch
shared memory. Everything else (first use of a set of metric names, a full term, records
of other kinds, errors) is the slow path, under a lock of this process.

Why it is safe without a lock across threads: under the GIL `data_write` (mmap.write) is
one step that takes the position, checks the bounds and copies. Two threads may interleave
between their two steps; each record carries its ordinal, so the consumer can always tell
which index entry belongs to which record. Builds without a GIL take the lock.
"""

from __future__ import annotations

import itertools
import mmap
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, NamedTuple, Protocol, TypeAlias

from expman.errors import RecordTooLargeError, RunClosedError, SharedMemoryError
from expman.models import LogLevel, MetricValue, RunStatus
from expman.transport import layout, segment, values
from expman.transport import records as wire

__all__ = ["LaneProducer", "LogVector", "WaitHook"]

FIRST_TERM_BYTES = 256 * 1024
LARGEST_TERM_BYTES = 8 * 1024 * 1024
SCHEMA_CACHE = 1024
_FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()


class LogVector(Protocol):
    """The signature of log_vector."""

    def __call__(self, values: Mapping[str, object], step: int | None = None) -> None: ...


class WaitHook(Protocol):
    """Called while a producer waits for the writer; False: no writer will ever come."""

    def __call__(self) -> bool: ...


class _Slot(NamedTuple):
    number: int
    segment: segment.Segment


class _Term:
    """The open term: one mapping, used once, so that its position only ever advances.

    A thread that was held up with an old term in hand finds its position at the end and
    gets ValueError, even if the slot's memory serves a later term by then.
    """

    def __init__(self, serial: int, slot: _Slot) -> None:
        self.serial = serial
        self.slot = slot
        self.data = slot.segment.map()
        size = slot.segment.size
        words = memoryview(self.data)[: layout.INDEX_OFFSET].cast("Q")
        words[layout.VERSION] = layout.LAYOUT_VERSION
        words[layout.INDEX_ENTRIES] = layout.index_entries(size)
        words[layout.DATA_OFFSET] = layout.data_offset(size)
        words[layout.MAGIC] = layout.MAGIC_TERM
        start = layout.INDEX_OFFSET
        self.index = memoryview(self.data)[start : start + 4 * layout.index_entries(size)].cast("I")
        self.data_offset = layout.data_offset(size)
        self.data.seek(self.data_offset)
        self.ordinal: Iterator[int] = itertools.count()
        self.defined: set[int] = set()

    def close_door(self) -> int:
        """Fills the rest, so that no append can succeed any more; returns the bytes before it."""
        while True:
            end = self.data.tell()
            try:
                self.data.write(bytes(len(self.data) - end))
            except ValueError:  # another thread appended in between
                continue
            return end - self.data_offset


class _Schema(NamedTuple):
    number: int
    getter: Callable[[Mapping[str, object]], tuple[object, ...]]
    keys: tuple[str, ...]


_State: TypeAlias = tuple[
    Callable[[Mapping[str, object]], tuple[Any, ...]],  # the schema's getter
    int,  # number of keys
    int,  # the schema's number
    Iterator[int],  # ordinals of the open term
    memoryview,  # its index
    Callable[[bytes], int],  # write() of its data
]


class LaneProducer:
    """Claims a lane and appends records to it.

    Args:
        address: where the writer looks for lanes.
        hello: who logs, and into which run.
        max_bytes: limit of the lane's terms.
        overflow: "block" or "drop".
        on_wait: called while waiting for the writer.

    Raises:
        SharedMemoryError: if no memory can be had for the first term.
    """

    def __init__(
        self,
        address: segment.Address,
        hello: wire.Hello,
        *,
        max_bytes: int,
        overflow: str,
        on_wait: WaitHook = lambda: True,
    ) -> None:
        self.address = address
        self.run_dir = os.path.join(hello.base_dir, hello.experiment, hello.run_name)
        self._max_bytes = max_bytes
        self._drop = overflow == "drop"
        self._on_wait = on_wait
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._schemas: dict[tuple[str, ...], _Schema] = {}
        self._next_schema = 0
        self._dropped = 0
        self._dropped_unsaid = 0
        self._flushes = 0
        self._closed = False
        self._give_up_at = float("inf")
        self._slots: list[_Slot] = []
        self._slots_made = 0
        self._busy: dict[int, _Slot] = {}  # serial -> slot, until released
        self._claim(hello)
        self.log_vector, self._set_fast = _make_log_vector(self)

    # -- claiming ---------------------------------------------------------------

    def _claim(self, hello: wire.Hello) -> None:
        encoded = wire.encode_hello(hello)
        size = layout.CONTROL_BYTES + len(encoded)
        base = segment.attach(self.address.place, self.address.segment())
        directory = memoryview(base.map()).cast("Q")
        try:
            lane = directory[layout.NEXT_LANE]
            while True:
                try:
                    control = segment.create(self.address.place, self.address.segment(lane), size)
                except FileExistsError:
                    lane += 1
                    continue
                # The writer probes numbers in order and never goes back: a number that it
                # had passed before this segment existed would never be found.
                if directory[layout.NEXT_LANE] <= lane:
                    break
                control.unlink()
                control.close()
                lane = directory[layout.NEXT_LANE]
        finally:
            base.close()
        self.lane = lane
        self.control = control
        control.try_lock()
        mapping = control.map()
        self.words = memoryview(mapping)[: layout.CONTROL_BYTES].cast("Q")
        self.words[layout.VERSION] = layout.LAYOUT_VERSION
        self.words[layout.MAGIC] = layout.MAGIC_LANE
        mapping[layout.CONTROL_BYTES : size] = encoded
        self._term = self._open_term(0, self._new_slot(0))
        self.words[layout.HELLO_BYTES] = len(encoded)

    # -- terms ------------------------------------------------------------------

    def _new_slot(self, need: int) -> _Slot:
        """Creates the next slot, twice as large as the last one.

        Raises:
            OSError: no room.
        """
        number = self._slots_made
        largest = min(LARGEST_TERM_BYTES, self._max_bytes // 2)
        size = max(min(FIRST_TERM_BYTES << min(number, 8), largest, self._unused_bytes()), need)
        size = size // mmap.PAGESIZE * mmap.PAGESIZE
        while True:
            try:
                new = segment.create(
                    self.address.place, self.address.segment(self.lane, number), size
                )
                break
            except OSError as exc:
                if size // 2 < max(need, 4 * mmap.PAGESIZE):
                    raise SharedMemoryError(size, [f"{self.address.place}: {exc}"]) from exc
                size //= 2
        slot = _Slot(number, new)
        self._slots.append(slot)
        self._slots_made += 1
        self.words[layout.LANE_BYTES] = self._max_bytes - self._unused_bytes()
        return slot

    def _open_term(self, serial: int, slot: _Slot) -> _Term:
        term = _Term(serial, slot)
        entry = layout.TERM_TABLE + 2 * (serial % layout.TERM_ENTRIES)
        self.words[entry] = slot.number
        self.words[entry + 1] = 0
        self._busy[serial] = slot
        in_use = sum(used.segment.size for used in self._busy.values())
        if in_use > self.words[layout.HIGH_WATER]:
            self.words[layout.HIGH_WATER] = in_use
        self.words[layout.OPENED_TERMS] = serial + 1
        return term

    def _seal(self) -> None:
        term = self._term
        entry = layout.TERM_TABLE + 2 * (term.serial % layout.TERM_ENTRIES)
        self.words[entry + 1] = term.close_door() + 1

    def _find_slot(self, need: int) -> _Slot | None:
        """A slot for the next term: a released one, else a new one within the limit."""
        released = self.words[layout.RELEASED_TERMS]
        for serial in [serial for serial in self._busy if serial < released]:
            del self._busy[serial]
        if self._term.serial + 1 - released >= layout.TERM_ENTRIES:
            return None
        busy = {slot.number for slot in self._busy.values()}
        free = [s for s in self._slots if s.number not in busy and s.segment.size >= need]
        if free:
            return max(free, key=lambda slot: slot.segment.size)
        wanted = max(need, 4 * mmap.PAGESIZE)
        for slot in [slot for slot in self._slots if slot.number not in busy]:
            if self._unused_bytes() >= wanted:
                break
            self._slots.remove(slot)  # all free ones are too small for a large record
            slot.segment.unlink()
            slot.segment.close()
        if self._unused_bytes() < wanted:
            return None
        try:
            return self._new_slot(need)
        except SharedMemoryError:
            return None  # the place is full: go on with what there is

    def _unused_bytes(self) -> int:
        return self._max_bytes - sum(slot.segment.size for slot in self._slots)

    def _next_term(self, record_bytes: int, may_drop: bool) -> bool:
        """Opens the next term; False: the record is to be dropped."""
        need = record_bytes + layout.INDEX_OFFSET + 64
        need += need // (layout.MIN_RECORD_BYTES // 4) + mmap.PAGESIZE
        if need > self._max_bytes:
            raise RecordTooLargeError(record_bytes, self._max_bytes)
        self._set_fast(None)
        slot = self._find_slot(need)
        pause_s = 50e-6
        while slot is None:
            if (self._drop and may_drop) or time.monotonic() > self._give_up_at:
                return False
            if not self._on_wait():
                return False
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 5e-3)
            slot = self._find_slot(need)
        self._seal()
        self._term = self._open_term(self._term.serial + 1, slot)
        return True

    # -- publishing (under the lock) ----------------------------------------------

    def _append(self, tag: int, *fields: object) -> int:
        """Publishes one record in the open term; returns 0, or its size if it does not fit."""
        term = self._term
        ordinal = next(term.ordinal)
        payload = wire.encode((tag, ordinal, time.time_ns(), *fields))
        try:
            term.index[ordinal] = term.data.write(payload)
        except (ValueError, IndexError):
            return len(payload)
        return 0

    def _enter(self) -> None:
        if self._pid != os.getpid() or self._closed:
            raise RunClosedError(self.run_dir)

    def publish(self, tag: int, *fields: object, may_drop: bool = False) -> bool:
        """Appends one record; False: it was dropped.

        Raises:
            RunClosedError: after close().
            RecordTooLargeError: if it does not fit into the whole buffer.
        """
        with self._lock:
            self._enter()
            while size := self._append(tag, *fields):
                if not self._next_term(size, may_drop):
                    return False
            return True

    def _publish_vector(self, schema: _Schema, row: tuple[object, ...], step: int | None) -> None:
        while True:
            if self._dropped_unsaid:
                size = self._append(wire.DROP, self._dropped_unsaid)
                if not size:
                    self._dropped_unsaid = 0
            else:
                size = 0
            if not size and schema.number not in self._term.defined:
                size = self._append(wire.SCHEMA, schema.number, schema.keys)
                if not size:
                    self._term.defined.add(schema.number)
            if not size:
                size = self._append(wire.VECTOR, step, schema.number, row)
                if not size:
                    return
            if not self._next_term(size, may_drop=True):
                self._dropped += 1
                self._dropped_unsaid += 1
                self.words[layout.DROPPED_ROWS] = self._dropped
                return

    def log_vector_slowly(self, values_: Mapping[str, object], step: object) -> None:
        """Checks a row in full, publishes it, and sets the fast path to its metric names.

        Raises:
            TypeError, ValueError: naming the key and the type; nothing is logged.
            RunClosedError: after close().
        """
        with self._lock:
            self._enter()
            row = values.plain_row(values_)
            plain_step = values.plain_step(step)
            keys = tuple(row)
            schema = self._schemas.get(keys)
            if schema is None:
                schema = self._define(keys)
            self._publish_vector(schema, tuple(row.values()), plain_step)
            if keys and schema.number in self._term.defined and not _FREE_THREADED:
                self._set_fast(schema)

    def _define(self, keys: tuple[str, ...]) -> _Schema:
        if len(self._schemas) >= SCHEMA_CACHE:
            self._schemas.clear()
        if len(keys) == 1:
            (only,) = keys
            getter: Callable[[Mapping[str, object]], tuple[object, ...]] = lambda row: (row[only],)  # noqa: E731
        else:
            getter = itemgetter(*keys) if keys else lambda row: ()
        schema = self._schemas[keys] = _Schema(self._next_schema, getter, keys)
        self._next_schema += 1
        return schema

    @property
    def open_term(self) -> _Term:
        """The term that records go into at present."""
        return self._term

    # -- the other records --------------------------------------------------------

    def log_scalar(self, key: str, value: MetricValue) -> None:
        """Publishes a scalar."""
        self.publish(wire.SCALAR, key, value)

    def log_params(self, params: dict[str, values.PlainValue]) -> None:
        """Publishes parameters."""
        self.publish(wire.PARAMS, wire.wire_params(params))

    def log_message(self, level: LogLevel, message: str) -> None:
        """Publishes a line of run.log."""
        self.publish(wire.LOG, level, message)

    def save_artifact(self, source: str, staged: str | None, target: str) -> None:
        """Publishes the wish to copy a file."""
        self.publish(wire.ARTIFACT, source, staged, target)

    def request_flush(self, timeout_s: float) -> int | None:
        """Publishes a flush mark; returns its number, or None if the lock cannot be had."""
        if not self._lock.acquire(timeout=max(timeout_s, 0)):
            return None
        self._give_up_at = time.monotonic() + timeout_s
        try:
            self._flushes += 1
            return self._flushes if self.publish(wire.FLUSH, self._flushes) else None
        finally:
            self._give_up_at = float("inf")
            self._lock.release()

    def close(self, status: RunStatus, reason: str | None, timeout_s: float) -> bool:
        """Publishes the sentinel and seals the lane; False: the lock could not be had."""
        if not self._lock.acquire(timeout=max(timeout_s, 0)):
            return False
        self._give_up_at = time.monotonic() + timeout_s
        try:
            if self._closed:
                return True
            if self._dropped_unsaid and self.publish(wire.DROP, self._dropped_unsaid):
                self._dropped_unsaid = 0
            if not self.publish(wire.SENTINEL, status, reason):
                return False
            self._set_fast(None)
            self._closed = True
            self._seal()
            self.words[layout.LANE_CLOSED] = 1
            return True
        finally:
            self._give_up_at = float("inf")
            self._lock.release()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    @property
    def dropped_rows(self) -> int:
        """Rows dropped so far by the overflow policy."""
        return self._dropped

    def forget(self) -> None:
        """In a forked child: drops what belongs to the parent. No I/O, no lock is taken."""
        self._lock = threading.RLock()
        self._closed = True
        self._set_fast(None)


def _make_log_vector(lane: LaneProducer) -> tuple[LogVector, Callable[[_Schema | None], None]]:
    """Builds the hot path. Its whole state is one tuple, replaced as a whole.

    The row's names and values are both checked: `getter` finds every name of the expected
    set and the count shows that there are no others; `sum` refuses whatever is no number
    (msgspec alone would encode None, lists and dates); the encoder's hook refuses the rest.
    """
    encode, time_ns, slowly = wire.encode, time.time_ns, lane.log_vector_slowly
    state: _State | None = None

    def log_vector(values: Mapping[str, object], step: int | None = None) -> None:
        try:
            getter, count, schema, ordinals, index, data_write = state  # type: ignore[misc]
            if (
                type(values) is dict
                and len(values) == count
                and (type(step) is int or step is None)
            ):
                row = getter(values)
                sum(row, 0.0)
                ordinal = next(ordinals)
                index[ordinal] = data_write(encode((1, ordinal, time_ns(), step, schema, row)))
                return
        except Exception:  # noqa: BLE001 - the slow path repeats it all and tells
            pass
        slowly(values, step)

    def set_fast(schema: _Schema | None) -> None:
        nonlocal state
        if schema is None:
            state = None
            return
        term = lane.open_term
        state = (
            schema.getter,
            len(schema.keys),
            schema.number,
            term.ordinal,
            term.index,
            term.data.write,
        )

    return log_vector, set_fast
