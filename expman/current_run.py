"""The current run: which one `expman.log_vector` and the like mean.

Each thread and each asyncio task that calls `init()` has its own. All others have the run of
the one that started them, where contextvars carry it over, or else the process's: that of the
main thread, or of the first thread that called `init()`.
"""

from __future__ import annotations

import sys
import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from expman.experiment import Experiment

__all__ = ["current", "end_current", "end_own", "leave", "set_current", "set_for_process"]


class _Slot:
    """A place for a run, and who has put it there. Contexts copied from each other share it."""

    def __init__(self, run: Experiment) -> None:
        self.run: Experiment | None = run
        self._thread = threading.get_ident()
        task = _task()
        self._task = None if task is None else weakref.ref(task)

    def is_at_hand(self) -> bool:
        """True if this thread has put it there, and not another of its tasks that still lives."""
        if self._thread != threading.get_ident():
            return False
        task = None if self._task is None else self._task()
        return task is None or task.done() or task is _task()

    def is_own(self) -> bool:
        """True if the caller is who has put it there: a copied context has the same variables.

        What a task of this thread has left behind is the thread's: a notebook's cells are tasks.
        """
        return self.is_at_hand() and (self._task is not None or _task() is None)


_here: ContextVar[_Slot | None] = ContextVar("expman_current_run", default=None)
_of_process: _Slot | None = None


def _task() -> asyncio.Task[object] | None:
    if "asyncio" not in sys.modules:
        return None
    from asyncio import current_task

    try:
        return current_task()
    except RuntimeError:  # no event loop runs in this thread
        return None


def _slot() -> _Slot | None:
    slot, fallback = _here.get(), _of_process
    if slot is None or fallback is None:
        return slot or fallback
    if slot.run is None and (fallback.is_at_hand() or not slot.is_own()):
        return fallback
    return slot  # who has ended a run of its own does not go on in a stranger's


def current() -> Experiment | None:
    """The run of the caller's thread or task, or else of the process."""
    slot = _slot()
    return None if slot is None else slot.run


def set_current(run: Experiment) -> None:
    """Makes a run that of the caller's thread or task; and of the process, if that has none."""
    global _of_process
    slot = _Slot(run)
    _here.set(slot)
    is_main = threading.current_thread() is threading.main_thread()
    if is_main or _of_process is None or _of_process.run is None:
        _of_process = slot


def set_for_process(run: Experiment) -> None:
    """Makes a run that of all threads that have none of their own."""
    global _of_process
    _of_process = _Slot(run)


def end_current() -> Experiment | None:
    """Takes the current run out of its place, for everybody who has it."""
    return _take(_slot())


def leave(run: Experiment) -> None:
    """Takes a run out of its place, if it is the current one."""
    slot = _slot()
    if slot is not None and slot.run is run:
        slot.run = None


def end_own() -> Experiment | None:
    """The same, but only if this thread or task has set it, and not one that started it."""
    slot = _slot()
    return _take(slot) if slot is not None and slot.is_own() else None


def _take(slot: _Slot | None) -> Experiment | None:
    if slot is None:
        return None
    run, slot.run = slot.run, None
    return run
