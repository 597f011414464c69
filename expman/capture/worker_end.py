"""A worker that comes to its end by itself says so in its lane.

So the writer need not wonder about a lane that was never closed: a DataLoader's worker ends that
way after each epoch, by os._exit(). A process that is killed says nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
from typing import TYPE_CHECKING, NoReturn

from expman.capture.exit_status import ExitWatch, child_end, describe_exit, traceback_in_worker
from expman.errors import ExpmanError
from expman.models import LogLevel
from expman.transport import exit_record

if TYPE_CHECKING:  # what only a run needs is imported by its first engine
    from expman.transport.producer import LaneProducer

__all__ = ["WorkerEnd"]

_watched: set[WorkerEnd] = set()


class WorkerEnd:
    """Notes how this process ends in the lane that it has just claimed as a worker.

    Args:
        lane: the process's.
    """

    def __init__(self, lane: LaneProducer) -> None:
        self._offer = lane.offer_message
        self._control = lane.control
        self._pid = os.getpid()  # forked children inherit exit handlers
        self._program = ExitWatch()
        self._child = child_end(self._note)
        if self._child is None:
            atexit.register(self._at_exit)
        _watch_os_exit()
        _watched.add(self)

    def cancel(self) -> None:
        """Notes nothing any more: the lane is closed."""
        _watched.discard(self)
        if self._child is None:
            atexit.unregister(self._at_exit)
        else:
            self._child.cancel()

    def store(self, status: int) -> None:
        """Stores an exit status, if this is still the process that has claimed the lane."""
        if os.getpid() == self._pid:
            exit_record.store(self._control, status)

    def _at_exit(self) -> None:
        self._note(self._program.exception() if self._program.is_end() else None)

    def _note(self, exc: BaseException | None) -> None:
        if os.getpid() != self._pid:
            return
        has_failed = describe_exit(exc) is not None
        if exc is not None and has_failed and not isinstance(exc, SystemExit):
            with contextlib.suppress(ExpmanError):
                self._offer(LogLevel.ERROR, traceback_in_worker(exc))
        self.store(int(has_failed))


@functools.cache
def _watch_os_exit() -> None:
    """Has the status stored that a worker gives os._exit()."""
    original = os._exit

    @functools.wraps(original)
    def _exit(status: int) -> NoReturn:
        try:
            if isinstance(status, int):
                for end in list(_watched):
                    end.store(status)
        finally:
            original(status)

    os._exit = _exit
