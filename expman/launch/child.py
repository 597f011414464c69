"""A writer process that was started here: its messages and its end."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
from collections.abc import Iterator

from expman.transport.owned import Descriptor

__all__ = ["Child"]

LOOK_S = 10.0
"""Spacing of looks at whether it has ended: the descriptors that would show it may be lost."""


class Child:
    """A writer process, and the pipe that its messages come through.

    The program around us may close the descriptors, and give their numbers to files of its own:
    then the messages end early, and the process is waited for.

    Args:
        process: the writer, with a pipe as its standard error.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid
        assert process.stderr is not None
        # Popen's own would close its number at its end, whatever that is by then.
        self._pipe = Descriptor(os.dup(process.stderr.fileno()))
        process.stderr.close()
        process.stderr = None

    def messages(self) -> Iterator[str]:
        """The lines of its standard error, until it has ended.

        The pipe's end alone would not do: a child that the trainer forks while the pipe is made
        keeps it open.
        """
        end = self._open_pid()
        try:
            yield from self._lines(end)
        except OSError:
            return
        finally:
            self._pipe.close()
            if end is not None:
                _close_pid(end, self.pid)

    def wait(self) -> int:
        """Waits for its end; its exit status."""
        return self._process.wait()

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()

    def _lines(self, end: int | None) -> Iterator[str]:
        fd = self._pipe.number()
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        if end is not None:
            poller.register(end, select.POLLIN)
        text = b""
        while True:
            ready = [number for number, _ in poller.poll(LOOK_S * 1000)]
            if not ready and self._process.poll() is None:
                continue
            piece = os.read(self._pipe.number(), 65536) if fd in ready else b""
            *lines, text = (text + piece).split(b"\n")
            yield from (line.decode(errors="replace").strip() for line in lines)
            if not piece:
                break
        yield text.decode(errors="replace").strip()

    def _open_pid(self) -> int | None:
        try:
            return os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            return None


def _close_pid(number: int, pid: int) -> None:
    """Closes a descriptor of a process, if it is one still (before Linux 6.9 all look alike)."""
    with (
        contextlib.suppress(OSError),
        open(f"/proc/self/fdinfo/{number}", encoding="ascii") as file,
    ):
        if any(line.split() in (["Pid:", str(pid)], ["Pid:", "-1"]) for line in file):
            os.close(number)
