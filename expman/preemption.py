"""Notices that a scheduler is about to end the job: SLURM, Kubernetes, a spot machine."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any

from expman.errors import ConfigError

__all__ = ["Preempted", "Preemption", "on_preemption"]

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""Kubernetes and spot machines send SIGTERM; SLURM what `--signal` names, SIGUSR1 usually."""


class Preempted(SystemExit):
    """Ends the program as the signal would have: with exit status 128 + its number.

    Attributes:
        signal: the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = number

    def __str__(self) -> str:
        return f"preempted by {signal.Signals(self.signal).name}"


class Preemption:
    """Watches for signals of a scheduler, as a `with` block or until `cancel`.

    It is true once a signal has come. The signal is never swallowed: after the callback, or at the
    end of the block, it goes to the handler that there was before. Where there was none, Preempted
    is raised, a SystemExit, so that runs are closed and exit handlers run.

    Args:
        callback: called with no argument when the first signal comes, in the main thread, between
            two instructions of Python. Without one the signal waits for the end of the block.
        signals: the signals.
    """

    def __init__(self, callback: Callable[[], object] | None, signals: Sequence[int]) -> None:
        self._callback = callback
        self._pid = os.getpid()
        self._came: int | None = None
        self._before: dict[int, Any] = {}
        for number in signals:
            self._before[number] = signal.signal(number, self._handle)

    def __bool__(self) -> bool:
        return self._came is not None

    @property
    def signal(self) -> int | None:
        """Number of the signal that has come; None before."""
        return self._came

    def cancel(self) -> None:
        """Puts the handlers back that there were, where nobody has replaced ours."""
        for number, before in self._before.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, signal.SIG_DFL if before is None else before)
        self._before.clear()

    def __enter__(self) -> Preemption:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        before, number = dict(self._before), self._came
        self.cancel()
        if number is not None and exc is None and self._callback is None:
            _pass_on(number, before.get(number), None)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        before = self._before.get(number)
        if os.getpid() != self._pid:  # a forked worker: the signal is not the job's
            _as_before(number, before, frame)
            return
        is_first, self._came = self._came is None, number
        if self._callback is None:
            return
        if is_first:
            self._callback()
        _pass_on(number, before, frame)


def on_preemption(
    callback: Callable[[], object] | None = None, *, signals: Sequence[int] = SIGNALS
) -> Preemption:
    """Notices SIGTERM and SIGUSR1, with which schedulers announce the end of a job.

    With a callback, which saves a checkpoint, say, it is called at once, and the signal goes on to
    the handler that there was before. Without one, a loop asks::

        with expman.on_preemption() as preempted:
            for step in range(first, last):
                train(step)
                if preempted:
                    save_checkpoint(step)
                    break

    The end of the block passes the signal on. Where there was no handler, Preempted is raised, a
    SystemExit: the run ends as FAILED, its reason is "preempted by SIGTERM".

    Args:
        callback: called with no argument when the first signal comes, in the main thread.
        signals: the signals to notice.

    Raises:
        ConfigError: this is not the main thread, which alone can handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        name = threading.current_thread().name
        raise ConfigError("on_preemption", name, "must be called in the main thread")
    return Preemption(callback, signals)


def _pass_on(number: int, before: Any, frame: FrameType | None) -> None:
    """Gives a signal to the handler that there was before; Preempted if there was none."""
    if callable(before):
        before(number, frame)
    elif before == signal.SIG_DFL:
        raise Preempted(number)


def _as_before(number: int, before: Any, frame: FrameType | None) -> None:
    """Does in a forked child what the signal would have done without us."""
    if callable(before):
        before(number, frame)
    elif before == signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
