"""`expman-writer run -- command`: the writer starts the trainer, and knows how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from expman.transport import segment
from expman.writer.lifetime import DRAIN_S
from expman.writer.post_mortem import OwnerPostMortem
from expman.writer.server import Server

__all__ = ["run_command"]

PAUSE_S = 0.01
NOT_FOUND, NOT_EXECUTABLE = 127, 126
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT)


def run_command(address: segment.Address, command: Sequence[str]) -> int:
    """Runs a command whose runs are served by this process.

    Returns:
        As in a shell: the command's exit status; 128 + n if signal n killed it; 127 or 126 if it
        cannot be started.
    """
    server = Server(address, standing=True)  # before the command can look for it
    forward = _Forwarder()
    try:
        child = subprocess.Popen(command, env={**os.environ, "EXPMAN_WRITER": str(address)})
    except OSError as exc:
        print(f"expman-writer: {command[0]}: {exc.strerror}", file=sys.stderr)
        server.remove_address()
        return NOT_FOUND if isinstance(exc, FileNotFoundError) else NOT_EXECUTABLE
    forward.to(child)
    OwnerPostMortem.ask_parent = staticmethod(_Asker(child))
    while child.poll() is None:
        if not server.step():
            time.sleep(PAUSE_S)
    # Processes that the command left behind may go on: then they get a writer of their own.
    deadline = time.monotonic() + DRAIN_S
    while not (server.idle and server.remove_address()) and time.monotonic() < deadline:
        if not server.step():
            time.sleep(PAUSE_S)
    server.leave()
    status = child.returncode
    return status if status >= 0 else 128 - status


class _Asker:
    """Returns the exit status of the child, once it has ended."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child

    def __call__(self, pid: int) -> int | None:
        if pid != self._child.pid:
            return None
        try:
            return self._child.wait(1.0)
        except subprocess.TimeoutExpired:
            return None


class _Forwarder:
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
