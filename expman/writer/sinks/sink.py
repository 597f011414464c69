"""Base class of sinks; it keeps the failure of one sink from the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from expman.errors import StorageError
from expman.models import reason_of
from expman.writer.lanes import LaneState
from expman.writer.open_run import OpenRun

__all__ = ["TRIES", "Position", "Sink"]

TRIES = 8
"""So many failures in a row that are not the disk's, and a sink leaves out what it cannot write."""


class Position(msgspec.Struct, frozen=True):
    """Position of records in their lane.

    Attributes:
        row: number of the lane's next row, dropped ones included.
        record: number of the lane's next record.
    """

    row: int
    record: int


class Sink:
    """Writes one kind of content of a run: takes records into memory, commits them to its file.

    What it needs to go on after a kill is in its file, or in words of the lane's control that are
    stored in an order that makes every append happen once.

    A subclass has `name` and `write`, and overrides what it needs of the rest.

    Attributes:
        name: the file or the content, for messages.
        may_leave_out: after `TRIES` failures it gives up what it cannot write (`leave_out`).
            Otherwise such a failure makes the writer begin the run anew from shared memory.
    """

    name: ClassVar[str]
    may_leave_out: ClassVar[bool] = True

    def __init__(self, run: OpenRun) -> None:
        self.run = run
        self._failures = 0

    # -- taking -------------------------------------------------------------------------

    def add_lane(self, lane: LaneState) -> None:
        """Completes or undoes what a killed predecessor was doing with records of this lane.

        Raises:
            StorageError: call it again.
        """

    def take(self, record: Any, lane: LaneState | None, number: int) -> None:
        """Takes one record into memory.

        Args:
            record: of a type that `table` gives to this sink.
            lane: where it comes from; None: from a sampler.
            number: the record's number in its lane. After a kill, the same records come again
                under the same numbers.
        """
        raise NotImplementedError

    def take_all(self, records: Sequence[Any], lane: LaneState, start: Position) -> None:
        """Takes records of one type that follow each other; one that fails costs no other."""
        for number, record in enumerate(records, start.record):
            with self.run.sparing(lane, f"a record ({type(record).__name__})"):
                self.take(record, lane, number)

    # -- writing ------------------------------------------------------------------------

    @property
    def has_pending(self) -> bool:
        """True if there is something to write once the flush interval is over."""
        return False

    @property
    def is_urgent(self) -> bool:
        """True if it must be written now."""
        return False

    def write(self, *, sync: bool) -> None:
        """Writes what was taken; makes durable all that was written if `sync`.

        Raises:
            StorageError: nothing is lost; call it again.
        """
        raise NotImplementedError

    def leave_out(self, why: str) -> None:
        """Gives up what cannot be written, with a line in run.log."""

    def commit(self, *, sync: bool) -> None:
        """Writes what was taken, and leaves out what can never be written.

        Raises:
            StorageError: nothing is lost; call it again.
        """
        try:
            self.write(sync=sync)
        except StorageError:
            raise
        except Exception as exc:
            if not self.may_leave_out:
                raise
            why = reason_of(exc)
            self._failures += 1
            if self._failures < TRIES:
                raise StorageError(self.name, f"cannot be written: {why}") from exc
            self.leave_out(why)
        self._failures = 0

    def acknowledge(self, *, synced: bool) -> None:
        """Stores in the lanes how far they are written. Called once all sinks have committed."""

    def work(self) -> bool:
        """Goes on with long work between two rounds; whether there is more to do at once.

        Raises:
            StorageError: nothing is lost; it is tried again later.
        """
        return False

    # -- the end ------------------------------------------------------------------------

    def settle(self) -> bool:
        """Makes the file final, but for the status; False: call it again.

        Raises:
            StorageError: nothing is lost; call it again.
        """
        return True

    def finish(self) -> None:
        """Removes what only a live run needs. All files are final and durable."""

    def close(self) -> None:
        """Gives up open files without writing anything."""
