"""Appends records to the lane of this process, and opens its next term when one is full."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import msgspec

from expman import notices
from expman.errors import RecordTooLargeError, RunClosedError
from expman.transport import encoding, layout
from expman.transport.lane import Lane
from expman.transport.own_lane import OwnLane
from expman.transport.schemas import RowSchema
from expman.transport.term import Term
from expman.transport.try_lock import Turn

__all__ = ["Publisher"]

_NO_LIMIT, _AT_ONCE = math.inf, -math.inf
_NO_ORDINAL = 2**64 - 1
_DROP_BYTES = 40
_RETRY_S = 0.01
_PATIENCE_S = 0.2


class _Full(msgspec.Struct, frozen=True):
    """A row found no room. Rows like it find none while nothing has changed.

    Attributes:
        schema: the row's names.
        row_bytes: its record's size.
        serial: the open term.
        released: how many terms the writer had released.
        until: when to try again, by the monotonic clock: other programs may have freed memory.
    """

    schema: RowSchema
    row_bytes: int
    serial: int
    released: int
    until: float


class Publisher:
    """Publishes records in the lane of this process. The caller has its lock, except in `publish`.

    Args:
        own: the lane.
        max_bytes: limit of the lane's memory.
        drops_rows: a row that finds no room is dropped; otherwise its call waits.
        on_full: called when a row found no room; then nobody should hold the full term, and the
            next row must come here, where drops are reported first.
    """

    def __init__(
        self, own: OwnLane, max_bytes: int, on_full: Callable[[], None], *, drops_rows: bool
    ) -> None:
        self._own = own
        self._max_bytes = max_bytes
        self._drops_rows = drops_rows
        self._on_full = on_full
        self.forget()

    def forget(self) -> None:
        """In a forked child: as if nothing had been published."""
        self._full: _Full | None = None
        self._warned = False
        self._turn = Turn(self._own.lock)
        self._patience_s = _PATIENCE_S  # 0: a thread has the lock that waits for memory

    # -- any record ---------------------------------------------------------------

    def publish(
        self,
        tag: int,
        *fields: object,
        give_up_at: float = _NO_LIMIT,
        logged_at_ns: int | None = None,
    ) -> bool:
        """Publishes one record, except a row; False: it was dropped.

        Args:
            tag: of the kind of record.
            fields: of the record.
            give_up_at: when to stop waiting for memory, by `time.monotonic`.
            logged_at_ns: nanoseconds since the Unix epoch; None: now.

        Raises:
            RunClosedError: after close().
            RecordTooLargeError: if it does not fit into the whole buffer.
        """
        with self._own.lock:
            while (lane := self._own.enter()) is not None:
                term = lane.ring.term
                size = _append(term, tag, *fields, logged_at_ns=logged_at_ns)
                if not size:
                    return True
                if not self._next_term(lane, term, size, give_up_at):
                    self._warn_of_drops()
                    return False
            return False

    def offer(self, tag: int, *fields: object, logged_at_ns: int | None = None) -> bool:
        """Publishes one record if that can be done at once; False: it was not published.

        It waits neither for memory nor for a thread that does: it may be a print's. Only the moment
        that other threads need to publish theirs is waited for.

        Raises:
            RunClosedError: after close().
            RecordTooLargeError: if it does not fit into the whole buffer.
        """
        if self._turn.lock is not self._own.lock:
            self._turn = Turn(self._own.lock)
        has_lock = False
        try:
            with self._turn.within(self._patience_s) as has_lock:
                if has_lock:
                    self._patience_s = _PATIENCE_S
                    return self._append_at_once(tag, *fields, logged_at_ns=logged_at_ns)
        except RuntimeError:
            if has_lock:
                raise
        self._patience_s = 0.0
        return False

    def _append_at_once(self, tag: int, *fields: object, logged_at_ns: int | None) -> bool:
        lane = self._own.enter()
        if lane is None:
            return False
        term = lane.ring.term
        size = _append(term, tag, *fields, logged_at_ns=logged_at_ns)
        if not size:
            return True
        if not self._next_term(lane, term, size, _AT_ONCE):
            return False
        return not _append(lane.ring.term, tag, *fields, logged_at_ns=logged_at_ns)

    def _next_term(
        self, lane: Lane, full: Term, record_bytes: int, give_up_at: float = _NO_LIMIT
    ) -> bool:
        """Opens the term after `full`; False: drop the record."""
        if not lane.ring.can_ever_hold(record_bytes):
            raise RecordTooLargeError(record_bytes, self._max_bytes)
        self._on_full()
        pause_s = 50e-6
        while not lane.ring.advance(full, record_bytes):
            if time.monotonic() > give_up_at or not self._own.may_wait():
                return False
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 5e-3)
        if lane.ring.ended:  # by a handler in the middle of this call
            raise RunClosedError(self._own.run_dir)
        return True

    def _warn_of_drops(self) -> None:
        if not self._warned:
            self._warned = True
            notices.warn(
                f"expman: messages, scalars and the like of {self._own.run_dir} are dropped: the "
                "buffer is full and no writer takes from it"
            )

    # -- rows ---------------------------------------------------------------------

    def publish_row(
        self,
        lane: Lane | None,
        schema: RowSchema,
        row: tuple[object, ...],
        step: int | None,
        logged_at_ns: int | None = None,
    ) -> None:
        """Publishes a row and its names in the lane, or drops it.

        Args:
            lane: the lane; None: the row is dropped.
            schema: its names.
            row: its values, in their order.
            step: its step.
            logged_at_ns: nanoseconds since the Unix epoch; None: now.

        Raises:
            RunClosedError: after close().
            RecordTooLargeError: if it does not fit into the whole buffer.
        """
        while lane is not None:
            term = lane.ring.term
            full = self._full
            if (
                full is not None
                and full.schema is schema
                and full.serial == term.serial
                and self._is_still(full, lane, row, step)
            ):
                self._on_full()  # a fast row would come before the report of this drop
                break
            if self._append_row(term, schema, row, step, logged_at_ns):
                return
            # Every term defines the schemas that it uses: the next one needs room for both.
            row_bytes = _row_bytes(schema, row, step)
            names = (encoding.SCHEMA, _NO_ORDINAL, _NO_ORDINAL, schema.number, schema.keys)
            size = row_bytes + len(encoding.encode(names)) + _DROP_BYTES
            give_up_at = _AT_ONCE if self._drops_rows else _NO_LIMIT
            released = lane.control.released_terms
            if not self._next_term(lane, term, size, give_up_at):
                until = time.monotonic() + _RETRY_S
                self._full = _Full(schema, row_bytes, term.serial, released, until)
                break
            lane = self._own.enter()
        self._own.count_drop()

    def _is_still(self, full: _Full, lane: Lane, row: tuple[object, ...], step: int | None) -> bool:
        return (
            full.released == lane.control.released_terms
            and time.monotonic() < full.until
            and _row_bytes(full.schema, row, step) >= full.row_bytes
        )

    def _append_row(
        self,
        term: Term,
        schema: RowSchema,
        row: tuple[object, ...],
        step: int | None,
        logged_at_ns: int | None,
    ) -> bool:
        """Publishes a row and what must come before it; False: the term is full.

        What is noted is noted after it was published: a call in between publishes it once more.
        """
        drops = self._own.drops
        if drops.unreported:
            dropped = drops.take()
            if dropped and _append(term, encoding.DROP, dropped):
                drops.put_back(dropped)
                return False
        if schema.number not in term.defined:
            if _append(term, encoding.SCHEMA, schema.number, schema.keys):
                return False
            term.defined.add(schema.number)
        fields = step, schema.number, row
        return not _append(term, encoding.VECTOR, *fields, logged_at_ns=logged_at_ns)

    def report_drops(self, give_up_at: float) -> None:
        """Publishes how many rows were dropped, as the last record but one."""
        drops = self._own.drops
        dropped = drops.take()
        if dropped and not self.publish(encoding.DROP, dropped, give_up_at=give_up_at):
            drops.put_back(dropped)


def _append(term: Term, tag: int, *fields: object, logged_at_ns: int | None = None) -> int:
    """Publishes one record in the term; returns 0, or its size if it does not fit."""
    ordinal = next(term.index.ordinals, _NO_ORDINAL)
    now_ns = time.time_ns() if logged_at_ns is None else logged_at_ns
    payload = encoding.encode((tag, ordinal, now_ns, *fields))
    if ordinal == _NO_ORDINAL:
        return len(payload)
    mark = 0 if tag == encoding.VECTOR else layout.OTHER
    try:
        term.index.published[ordinal] = term.data.write(payload) | mark
        if tag == encoding.DROP:
            term.drops += (rows for rows in fields if isinstance(rows, int))
    except ValueError:
        term.void(ordinal)
        return len(payload)
    return 0


def _row_bytes(schema: RowSchema, row: tuple[object, ...], step: int | None) -> int:
    record = (encoding.VECTOR, _NO_ORDINAL, _NO_ORDINAL, step, schema.number, row)
    return len(encoding.encode(record))
