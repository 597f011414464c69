"""A command that is started here: signals go on to it, its exit status goes on as in a shell."""

from __future__ import annotations

import os
import signal
import subprocess

__all__ = ["Forwarder", "shell_status", "status_without_start"]

NOT_FOUND, NOT_EXECUTABLE = 127, 126

_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT)


def shell_status(returncode: int) -> int:
    """The exit status that a shell gives to a command; 128 + n if signal n killed it."""
    return returncode if returncode >= 0 else 128 - returncode


def status_without_start(exc: OSError) -> int:
    """The exit status that a shell gives where a command cannot be started."""
    return NOT_FOUND if isinstance(exc, FileNotFoundError) else NOT_EXECUTABLE


class Forwarder:
    """Passes signals on to the command, those that come while it is started a little later."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        for number in _FORWARDED:
            signal.signal(number, self._forward)
        # A terminal sends Ctrl-C to both of us.
        at_terminal = os.isatty(0)
        signal.signal(signal.SIGINT, (lambda *_: None) if at_terminal else self._forward)

    def to(self, child: subprocess.Popen[bytes]) -> None:
        """Forwards to this child from now on."""
        self._child = child
        while self._early:
            child.send_signal(self._early.pop(0))

    def _forward(self, number: int, _: object) -> None:
        if self._child is None:
            self._early.append(number)
        else:
            self._child.send_signal(number)  # a child that was reaped is left alone
