"""State that is whole between any two steps of the interpreter.

A signal handler, a finalizer, a garbage collector's callback or a trace function may run between
any two steps of a log call, in the same thread, and log itself. A lock does not keep it out: it
would wait for itself. So what such calls share is changed in one step, a call into C that runs no
Python code (`dict.setdefault`), and is read anew after each step.
`tests/unit/transport/test_interrupted.py` interrupts calls at every step.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

__all__ = ["Drops", "Once"]

T = TypeVar("T")
D = TypeVar("D")


class Once(Generic[T]):
    """A value that is settled once. Whoever comes first decides."""

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value: dict[None, T] = {}

    def settle(self, value: T) -> T:
        """Settles the value, unless it is settled; returns the settled one."""
        return self._value.setdefault(None, value)

    def get(self, default: D) -> T | D:
        """The value; `default` as long as nothing is settled."""
        return self._value.get(None, default)


class _Count(NamedTuple):
    after: Once[_Count]
    total: int
    said: int
    closed: bool


class Drops:
    """Counts dropped rows, and how many of them a record in the lane says."""

    def __init__(self) -> None:
        self._latest = _Count(Once(), 0, 0, False)

    def _change(self, now: _Count, total: int, said: int, *, closed: bool = False) -> bool:
        """Sets the numbers; False: a call in between did."""
        new = _Count(Once(), total, said, closed)
        return now.after.settle(new) is new

    @property
    def _now(self) -> _Count:
        now = self._latest
        while (after := now.after.get(None)) is not None:
            now = after
        self._latest = now  # may lag
        return now

    @property
    def total(self) -> int:
        """All of them."""
        return self._now.total

    @property
    def unsaid(self) -> int:
        """Those that no record says."""
        return self._now.total - self._now.said

    def add(self) -> bool:
        """Counts a row; False: the count is closed."""
        while not (now := self._now).closed:
            if self._change(now, now.total + 1, now.said):
                return True
        return False

    def take(self) -> int:
        """The number of those that are unsaid: the caller says it, or puts it back."""
        while not self._change(now := self._now, now.total, now.total, closed=now.closed):
            continue
        return now.total - now.said

    def put_back(self, number: int) -> None:
        """Undoes a take()."""
        while not self._change(now := self._now, now.total, now.said - number, closed=now.closed):
            continue

    def close(self) -> None:
        """Counts no more rows."""
        while not self._change(now := self._now, now.total, now.said, closed=True):
            continue
