"""End of a run with its program, and the source of its status."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from expman.capture.exit_status import ChildEnd, ExitWatch, child_end
from expman.models import RunStatus

if TYPE_CHECKING:  # what only a run needs is imported by its first engine
    from expman.transport.producer import LaneProducer

__all__ = ["Final", "ProgramEnd"]

Final: TypeAlias = tuple[RunStatus, str | None]
"""A status and its reason."""


class ProgramEnd:
    """The end of a run, as its owner knows it.

    Attributes:
        final: the status and its reason, settled by whoever ends the run first.
        is_open: the writer learns the status from the process's exit status.
    """

    def __init__(self) -> None:
        from expman.transport.once import Once

        self.final: Once[Final] = Once()
        self.is_open = False
        self._program = ExitWatch()
        self._at_exit: Callable[[], None] | None = None
        self._child_end: ChildEnd | None = None

    def watch(
        self, at_exit: Callable[[], None], in_child: Callable[[BaseException | None], None]
    ) -> None:
        """Has `at_exit` called at the program's end, `in_child` at that of a multiprocessing child.

        They are called until `unwatch`.
        """
        self._at_exit = at_exit
        self._child_end = child_end(in_child)
        atexit.register(at_exit)

    def unwatch(self) -> None:
        """Has nothing called any more."""
        if self._at_exit is not None:
            atexit.unregister(self._at_exit)
            self._at_exit = None
        if self._child_end is not None:
            self._child_end.cancel()

    def is_known(self) -> bool:
        """True if an exception that Python shows has ended the program."""
        return self._program.is_end()

    def exception(self) -> BaseException | None:
        """The exception that has ended the program, as Python shows it."""
        return self._program.exception() if self.is_known() else None

    def reason(self) -> str | None:
        """Reason of the program's failure, as far as Python knows; None if it did not fail."""
        return self._program.error() or self._program.wrapped_code()

    def open(self, lane: LaneProducer) -> Final | None:
        """Leaves the status to the process's exit status; None if that cannot be recorded."""
        if self._program.knows_exits or self.final.get(None) is not None:
            return None
        try:
            lane.store_exit_status()
        except OSError:
            return None
        self.is_open = True
        return self.final.settle((RunStatus.RUNNING, self._program.error()))

    def let_process_wait(self, lane: LaneProducer) -> None:
        """Has the process end only after the writer has written the status."""
        from expman.transport import exit_record

        exit_record.let_wait(lane.control)

    def store_exit(self, lane: LaneProducer, status: int) -> None:
        """Stores the exit status where libc's exit() will not be called."""
        from expman.transport import exit_record

        if self.is_open:
            exit_record.store(lane.control, status)
