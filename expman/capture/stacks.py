"""Lets a process write the stacks of its threads, when it is asked and when it dies of a fault.

`faulthandler` writes them from a signal handler in C: also while C code holds the GIL. Nothing of
it costs anything until the signal comes. Who asks, and how he makes sure that the signal hurts
nobody, is in `storage.stacks`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal

from expman.process_start import began_ticks
from expman.storage.stacks import caught_signals, write_header
from expman.transport.owned import Descriptor

__all__ = ["StackDumps"]

_FIRST = 5
"""Below SIGRTMIN + 5 are signals that profilers and debuggers are known to use."""
_LAST = 20


class StackDumps:
    """The stacks of this process, and of its forked children, for one run.

    A real-time signal that nobody catches is taken for it. Python's own handlers stay as they are.

    Args:
        run_dir: the run's directory.
    """

    def __init__(self, run_dir: str) -> None:
        self._signal = 0
        self._file: Descriptor | None = None
        self._has_faults = False
        self._pid = os.getpid()
        self._path = ""
        self._run_dir = run_dir

    def start(self) -> None:
        """Registers the signal. Where that cannot be done, there are no stacks, and that is all."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            number = self._free_signal()
            if not number:
                return
            self._path, fd = write_header(self._run_dir, self._pid, number)
            self._file = Descriptor(fd)
            faulthandler.register(number, file=fd, all_threads=True, chain=False)
            self._signal = number
            if not faulthandler.is_enabled():
                faulthandler.enable(file=fd, all_threads=True)
                self._has_faults = True

    def _free_signal(self) -> int:
        taken = caught_signals(self._pid)
        if taken is None or not began_ticks(self._pid):
            return 0
        last = min(signal.SIGRTMIN + _LAST, signal.SIGRTMAX)
        for number in range(signal.SIGRTMIN + _FIRST, last):
            if not taken >> (number - 1) & 1 and signal.getsignal(number) is signal.SIG_DFL:
                return number
        return 0

    def stop(self) -> None:
        """Gives the signal back. In a forked child it leaves the parent's file alone."""
        number, self._signal = self._signal, 0
        file, self._file = self._file, None
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            if number:
                faulthandler.unregister(number)
            if self._has_faults:
                self._has_faults = False
                faulthandler.disable()
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()  # the program may have closed it, and have the number for its own
