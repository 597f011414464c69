"""Logs rows: the fast call where it can be taken, all checks where it cannot."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from expman.transport import values
from expman.transport.hot_path import make_fast_call
from expman.transport.own_lane import OwnLane
from expman.transport.publisher import Publisher
from expman.transport.schemas import RowCodec, RowSchema, Schemas

__all__ = ["RowLog"]

_FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()


class RowLog:
    """Rows on their way into the lane of this process.

    Args:
        own: the lane.
        max_bytes: limit of its memory.
        drops_rows: a row that finds no room is dropped; otherwise its call waits.

    Attributes:
        fast: `log_vector`, and what it is set to.
        publisher: publishes the records.
    """

    def __init__(self, own: OwnLane, max_bytes: int, *, drops_rows: bool) -> None:
        self._own = own
        self._schemas = Schemas()
        self.fast = make_fast_call(self._log)
        self.publisher = Publisher(own, max_bytes, self.fast.clear, drops_rows=drops_rows)

    def forget(self) -> None:
        """In a forked child: as if nothing had been logged."""
        self._schemas = Schemas()
        self.publisher.forget()
        self.fast.clear()

    def _log(self, values_: Mapping[str, object], step: object) -> None:
        """Logs a row that the fast call has not taken, and sets the fast call to its names.

        Raises:
            TypeError, ValueError: naming the key and the type; nothing is logged.
            RunClosedError: after close().
        """
        self.log_at(values_, step, None)

    def log_at(self, values_: Mapping[str, object], step: object, logged_at_ns: int | None) -> None:
        """The same, with a time of its own; None: now."""
        with self._own.lock:
            lane = self._own.enter()
            schema, row, taking = self._schemas.read(values_)
            plain_step = values.plain_step(step)
            if lane is None:
                self._own.count_drop()
                return
            self.publisher.publish_row(lane, schema, row, plain_step, logged_at_ns)
            taking = taking or self._schemas.learn(schema, values_.values(), row)
            if taking is not None:
                self._set_fast(taking.schema, taking.codec)

    def _set_fast(self, schema: RowSchema, codec: RowCodec) -> None:
        own = self._own
        lane = own.lane
        if lane is None or own.closed or own.drops.unreported:
            return  # dropped: a shorter row may still fit, but only behind what was dropped
        term = lane.ring.term
        if schema.keys and schema.number in term.defined and not _FREE_THREADED:
            self.fast.set(schema, codec, term)
        if own.lane is not lane or own.closed:  # a call in between closed it, or forked
            self.fast.clear()
