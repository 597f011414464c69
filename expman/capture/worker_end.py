"""A worker that comes to its end by itself says so in its lane.

So the writer need not wonder about a lane that was never closed: a DataLoader's worker ends that
way after each epoch, by os._exit(). A process that is killed says nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import weakref
from typing import TYPE_CHECKING, NoReturn

from expman.capture.exit_status import (
    ExitWatch,
    child_end,
    describe_exit,
    note_interrupt,
    traceback_in_worker,
)
from expman.errors import ExpmanError
from expman.models import LogLevel
from expman.transport import exit_record

if TYPE_CHECKING:  # what only a run needs is imported by its first engine
    from expman.transport.lane_control import LaneControl
    from expman.transport.producer import LaneProducer

__all__ = ["WorkerEnd"]

_watched: set[WorkerEnd] = set()


class WorkerEnd:
    """Notes how this process ends in the lane that it has just claimed as a worker.

    Args:
        lane: the process's.
    """

    def __init__(self, lane: LaneProducer) -> None:
        # Neither the lane nor its memory is held: one that nobody has any more counts as ended.
        self._lane = weakref.ref(lane)
        self._pid = os.getpid()  # forked children inherit exit handlers
        self._program = ExitWatch()
        self._child = child_end(self._note)
        if self._child is None:
            atexit.register(self._at_exit)
        self._dropped = weakref.finalize(lane, self._note_dropped, lane.control)
        self._dropped.atexit = False
        _watch_os_exit()
        _watched.add(self)

    def cancel(self) -> None:
        """Notes nothing any more: the lane is closed."""
        self._dropped.detach()
        self._unwatch()

    def _unwatch(self) -> None:
        _watched.discard(self)
        if self._child is None:
            atexit.unregister(self._at_exit)
        else:
            self._child.cancel()

    def store(self, status: int) -> None:
        """Stores an exit status, if this is still the process that has claimed the lane."""
        lane = self._lane()
        if lane is not None and os.getpid() == self._pid:
            exit_record.store(lane.control, status)

    def _note_dropped(self, control: LaneControl) -> None:
        """Nobody has the lane any more: it was never closed, and its process goes on."""
        if os.getpid() == self._pid:
            exit_record.store(control, 0)
        self._unwatch()

    def _at_exit(self) -> None:
        exc = self._program.exception() if self._program.is_end() else None
        self._note(exc)
        if isinstance(exc, KeyboardInterrupt):
            note_interrupt()

    def _note(self, exc: BaseException | None) -> None:
        lane = self._lane()
        if lane is None or os.getpid() != self._pid:
            return
        has_failed = describe_exit(exc) is not None
        if exc is not None and has_failed and not isinstance(exc, SystemExit):
            with contextlib.suppress(ExpmanError):
                lane.offer_message(LogLevel.ERROR, traceback_in_worker(exc))
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
