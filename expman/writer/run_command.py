"""`expman-writer run -- command`: the writer starts the trainer, and knows how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from expman.forwarding import Forwarder, shell_status, status_without_start
from expman.transport import segment
from expman.writer.lifetime import DRAIN_S
from expman.writer.post_mortem import OwnerPostMortem
from expman.writer.server import Server

__all__ = ["run_command"]

PAUSE_S = 0.01
_CONSOLE = "EXPMAN_REDIRECT_CONSOLE"


def run_command(address: segment.Address, command: Sequence[str]) -> int:
    """Runs a command whose runs are served by this process.

    Returns:
        As in a shell: the command's exit status; 128 + n if signal n killed it; 127 or 126 if it
        cannot be started.
    """
    server = Server(address, standing=True)  # before the command can look for it
    forward = Forwarder()
    try:
        child = subprocess.Popen(command, env=_environment(address))
    except OSError as exc:
        print(f"expman-writer: {command[0]}: {exc.strerror}", file=sys.stderr)
        server.remove_address()
        return status_without_start(exc)
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
    return shell_status(child.returncode)


def _environment(address: segment.Address) -> dict[str, str]:
    """Its runs use this writer, and record all that the command prints."""
    console = {} if os.environ.get(_CONSOLE) else {_CONSOLE: "fd"}
    return {**os.environ, **console, "EXPMAN_WRITER": str(address)}


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
