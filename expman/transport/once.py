"""A value that is settled in one step.

A signal handler, a finalizer, a garbage collector's callback or a trace function may run between
any two steps of a log call, in the same thread, and log itself. A lock does not keep it out: it
would wait for itself. So state that such calls share is changed in one step, a call into C that
runs no Python code (`dict.setdefault`), and is read again after each step.
`tests/unit/transport/test_interrupted.py` interrupts calls at every step.
"""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["Once"]

T = TypeVar("T")
D = TypeVar("D")


class Once(Generic[T]):
    """A value that is settled once, by the call that comes first."""

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value: dict[None, T] = {}

    def settle(self, value: T) -> T:
        """Settles the value, unless it is settled; returns the settled one."""
        return self._value.setdefault(None, value)

    def get(self, default: D) -> T | D:
        """The value; `default` as long as nothing is settled."""
        return self._value.get(None, default)
