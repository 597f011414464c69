"""A writer that was started here: what it says, and that it has ended."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
from collections.abc import Iterator

__all__ = ["messages"]


def messages(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """The lines of its standard error, until it has ended.

    The pipe's end alone would not tell: a child that the trainer forks while the pipe is made
    keeps it open. Where the trainer closes descriptors that are not its own, the messages end
    early, and the caller waits for the process.
    """
    if process.stderr is None or process.stderr.closed:
        return
    try:
        yield from _lines(process.stderr.fileno(), process.pid)
    except OSError:
        return
    finally:
        with contextlib.suppress(OSError):
            process.stderr.close()


def _lines(fd: int, pid: int) -> Iterator[str]:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    end = _open_pid(pid)
    if end is not None:
        poller.register(end, select.POLLIN)
    text = b""
    try:
        while True:
            ready = [number for number, _ in poller.poll()]
            piece = os.read(fd, 65536) if fd in ready else b""
            *lines, text = (text + piece).split(b"\n")
            yield from (line.decode(errors="replace").strip() for line in lines)
            if not piece and (end is None or end in ready):
                break
            if not piece:
                poller.unregister(fd)
        yield text.decode(errors="replace").strip()
    finally:
        if end is not None:
            os.close(end)


def _open_pid(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
