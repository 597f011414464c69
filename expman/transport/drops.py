"""Counts the rows that a producer has dropped, and those that its records report.

Calls may interrupt each other at any step, see `once`. So each state of the count names the one
after it, which is settled by one `dict.setdefault`: of several calls that change the same state one
succeeds, and the others try again from the new state.
"""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["Drops"]

# The state after this one, under the key None; rows dropped; rows reported; no more are counted.
_State: TypeAlias = tuple[dict[None, Any], int, int, bool]


class Drops:
    """Counts dropped rows. Any call may interrupt any other."""

    def __init__(self) -> None:
        self._latest: _State = ({}, 0, 0, False)

    def _now(self) -> _State:
        now = self._latest
        while (after := now[0].get(None)) is not None:
            now = after
        self._latest = now  # may lag
        return now

    @property
    def total(self) -> int:
        """Rows dropped so far."""
        return self._now()[1]

    @property
    def unreported(self) -> int:
        """Rows that no record reports."""
        _, total, reported, _ = self._now()
        return total - reported

    def add(self) -> bool:
        """Counts a row; False: the count is closed."""
        while True:
            after, total, reported, closed = self._now()
            if closed:
                return False
            new: _State = ({}, total + 1, reported, False)
            if after.setdefault(None, new) is new:
                return True

    def take(self) -> int:
        """The number of unreported rows. The caller reports them, or puts them back."""
        while True:
            after, total, reported, closed = self._now()
            new: _State = ({}, total, total, closed)
            if after.setdefault(None, new) is new:
                return total - reported

    def put_back(self, number: int) -> None:
        """Undoes a take()."""
        while True:
            after, total, reported, closed = self._now()
            new: _State = ({}, total, reported - number, closed)
            if after.setdefault(None, new) is new:
                return

    def close(self) -> None:
        """Counts no more rows from now on."""
        while True:
            after, total, reported, _ = self._now()
            new: _State = ({}, total, reported, True)
            if after.setdefault(None, new) is new:
                return
