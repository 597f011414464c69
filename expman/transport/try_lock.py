"""Takes a lock if that needs little waiting, and gives it back whatever interrupts the call."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["Turn"]


class Turn:
    """A lock that is had for a `with` block, or not.

    Between a call of `acquire` and a `try` after it, Ctrl-C may raise: the lock would stay locked.
    Here nothing of Python runs between the lock and the block, as in `with lock` itself.

    A block that has not got the lock ends with RuntimeError: it releases what its thread does not
    own. So the lock must be one that its thread may take again, threading.RLock().

    Args:
        lock: the lock.

    Attributes:
        lock: the lock.
    """

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self._blocks: dict[float, AbstractContextManager[bool]] = {}

    def within(self, timeout_s: float) -> AbstractContextManager[bool]:
        """A block that waits so long for the lock; it gets whether it has it."""
        block = self._blocks.get(timeout_s)
        if block is None:
            block = self._blocks[timeout_s] = self._make(timeout_s)
        return block

    def _make(self, timeout_s: float) -> AbstractContextManager[bool]:
        lock = self.lock
        # Static, so that the call gets no argument; both are functions of C.
        members = {
            "__enter__": staticmethod(functools.partial(lock.acquire, timeout=timeout_s)),
            "__exit__": staticmethod(lock.__exit__),
        }
        block: AbstractContextManager[bool] = type("Block", (), members)()
        return block
