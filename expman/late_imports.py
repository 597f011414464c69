"""Imports in the middle of a call, which no fork may come between.

A child that is forked while another thread imports a module waits forever as soon as it needs that
module: the thread that has the module's lock is not there. So a fork waits until the import is
over. It does not wait for longer than `PATIENCE_S`: a module that forks while it is imported may be
what the import waits for.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager

__all__ = ["no_fork"]

PATIENCE_S = 10.0
_lock = threading.RLock()
_is_held: list[bool] = []  # by forks that are under way: a handler may fork in the middle of one


def no_fork() -> AbstractContextManager[object]:
    """No fork begins in this block, which imports what not every run needs."""
    return _lock


def _before() -> None:
    _is_held.append(_lock.acquire(timeout=PATIENCE_S))


def _after_in_parent() -> None:
    if _is_held.pop():
        _lock.release()


def _after_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    _is_held.clear()


os.register_at_fork(
    before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
)
