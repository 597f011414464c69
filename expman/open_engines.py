"""The engines of this process, and what becomes of them at a fork and at os._exit()."""

from __future__ import annotations

import functools
import os
import weakref
from typing import Protocol

from expman.capture import exit_status

__all__ = ["Engine", "add", "at", "discard", "every", "watch_os_exit"]


class Engine(Protocol):
    """The part of an engine that this module uses."""

    address: str

    def _close_at_os_exit(self, status: int) -> None: ...

    def _forget(self) -> None: ...


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def add(engine: Engine) -> None:
    """Adds an engine, by a weak reference."""
    _engines.add(engine)


def discard(engine: Engine) -> None:
    """Takes an engine out."""
    _engines.discard(engine)


def every() -> list[Engine]:
    """All engines."""
    return list(_engines)


def at(address: str) -> list[Engine]:
    """The engines with an address."""
    return [engine for engine in every() if engine.address == address]


@functools.cache
def watch_os_exit() -> None:
    """Has engines closed where an exit handler calls os._exit()."""
    exit_status.watch_os_exit(_close_all)


def _close_all(status: int) -> None:
    for engine in every():
        engine._close_at_os_exit(status)


def _forget_all() -> None:
    for engine in _engines:
        engine._forget()


os.register_at_fork(after_in_child=_forget_all)
