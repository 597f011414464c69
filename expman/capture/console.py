"""Records what the program prints, at the level of Python: sys.stdout and sys.stderr.

The method `write` of both streams is replaced by one that writes first and records then. So a
terminal stays a terminal, and everything else of the streams stays as it is. Whoever has replaced
`write` after us keeps what he has: then ours passes on to the stream once the run has ended.

A print never waits for a writer, and only for a moment for other threads. Lines that the buffer has
no room for are counted.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from expman.errors import ExpmanError, RunClosedError
from expman.transport.encoding import CONSOLE
from expman.transport.try_lock import Turn

__all__ = ["ConsoleTap"]

MOST_CHARACTERS = 16 * 1024
"""Of one record. A line that is longer is divided."""
MOST_WAITING = 4096
"""Writes that wait for the call that records."""
STOP_S = 1.0
PATIENCE_S = 0.2
"""A thread that prints faster than others record waits so long for them."""
PARTIAL_SPACING_S = 1.0
"""A line that goes on is recorded this often at most: a progress bar, say."""

Offer = Callable[..., bool]
Publish = Callable[..., bool]
_Source: TypeAlias = tuple[str, int]
"""A stream, and the thread that writes to it."""


class ConsoleTap:
    """The streams of this process on their way into a run.

    Several threads print, and a signal handler or a finalizer may print in the middle of another
    print. So each write leaves its text in a queue, and whoever gets the lock records all of it.
    The call that has it looks at the queue again before it returns. Nobody waits for the lock but
    who finds the queue full, for a moment.

    Args:
        offer: publishes a record if that needs no waiting, see `LaneProducer.offer`.

    Attributes:
        lost_lines: lines that could not be recorded, and that no record reports so far.
    """

    def __init__(self, offer: Offer) -> None:
        self._offer: Offer | None = offer
        self._patches: list[_Patch] = []
        self._shell: Any = None
        self.forget()

    def forget(self) -> None:
        """In a forked child: begins anew. No lock is taken."""
        self._turn = Turn(threading.RLock())
        self._lock = threading.Lock()  # taken by who has the turn, and by no print within his
        self._patience_s = PATIENCE_S
        self._waiting: deque[tuple[_Source, str]] = deque()
        self._open: dict[_Source, str] = {}  # lines that have not ended
        self._partial_at: dict[str, float] = {}
        self.lost_lines = 0

    def start(self, streams: Iterable[tuple[Any, str]] | None = None) -> None:
        """Records streams from now on. One that takes no other `write` is left alone.

        Args:
            streams: each with its name, "out" or "err"; stdout and stderr if left out.
        """
        if streams is None:
            streams = (sys.stdout, "out"), (sys.stderr, "err")
        for stream, name in streams:
            patch = _Patch(self, stream, name)
            self._patches.append(patch)
            patch.put_in_place()
        self._shell = _notebook()
        if self._shell is not None:
            self._shell.events.register("pre_execute", self.renew)

    def renew(self) -> None:
        """Puts back a `write` that was taken away: IPython 9 restores its own after each cell."""
        for number, patch in enumerate(self._patches):
            if not patch.is_reached():
                patch.let_go()
                self._patches[number] = renewed = _Patch(self, patch.stream, patch.name)
                renewed.put_in_place()

    def stop(self, publish: Publish) -> None:
        """Records the lines that have not ended, and leaves the streams as they were.

        Args:
            publish: publishes a record, and may wait for that; see `Publisher.publish`.
        """
        shell, self._shell = self._shell, None
        if shell is not None:
            with contextlib.suppress(ValueError):
                shell.events.unregister("pre_execute", self.renew)
        for patch in self._patches:
            patch.remove()
        self._patches.clear()
        self._record(STOP_S, lambda: self._end(publish))
        self._offer = None

    def _end(self, publish: Publish) -> None:
        for (name, _), line in self._open.items():
            self._publish(name, [_last_state(line)])
        self._open.clear()
        self._report_lost(publish)

    def _report_lost(self, publish: Publish) -> None:
        """Reports lines that no later record has reported."""
        if self.lost_lines and self._offer is not None:
            with contextlib.suppress(ExpmanError, MemoryError):
                give_up_at = time.monotonic() + STOP_S
                if publish(CONSOLE, "out", "", self.lost_lines, give_up_at=give_up_at):
                    self.lost_lines = 0

    def add(self, name: str, text: str) -> None:
        """Takes what was written to a stream. Never raises, and waits for a moment at most."""
        if self._offer is None or not text:
            return
        if len(self._waiting) >= MOST_WAITING:
            had_turn = self._record(self._patience_s)
            self._patience_s = PATIENCE_S if had_turn else 0.0
            if len(self._waiting) >= MOST_WAITING:
                self.lost_lines += text.count("\n")
                return
        # By thread: print() writes a line and its end in two calls, and others print in between.
        self._waiting.append(((name, threading.get_ident()), text))
        # Whoever came while the lock was held has left his text before the second look.
        while self._waiting and self._record(0.0):
            pass

    def _record(self, timeout_s: float, then: Callable[[], None] | None = None) -> bool:
        """Records what waits; False: another call does. Interrupted, it leaves no lock behind."""
        has_turn = False
        try:
            with self._turn.within(timeout_s) as has_turn:
                if not has_turn or self._lock.locked():  # by a call that this one interrupts
                    return False
                with self._lock:
                    self._drain()
                    if then is not None:
                        then()
                    return True
        except RuntimeError:
            if has_turn:
                raise
        return False

    def _drain(self) -> None:
        waiting = self._waiting
        while waiting:
            source, text = waiting.popleft()
            name, pieces, size = source[0], [text], len(text)
            while size < MOST_CHARACTERS and waiting and waiting[0][0] == source:
                pieces.append(waiting.popleft()[1])
                size += len(pieces[-1])
            *lines, rest = "".join((self._open.pop(source, ""), *pieces)).split("\n")
            if len(rest) > MOST_CHARACTERS:
                rest = _compact(rest)
            while len(rest) > MOST_CHARACTERS:
                lines.append(rest[:MOST_CHARACTERS])
                rest = rest[MOST_CHARACTERS:]
            if "\r" in rest:
                rest = _compact(rest)
            if lines:
                self._publish(name, [_last_state(line) for line in lines])
            if rest:
                self._open[source] = rest
                self._show(name, rest)

    def _show(self, name: str, line: str) -> None:
        """Records the line so far, now and then."""
        now = time.monotonic()
        if now >= self._partial_at.get(name, 0.0):
            self._partial_at[name] = now + PARTIAL_SPACING_S
            self._try(name, _last_state(line))

    def _publish(self, name: str, lines: list[str]) -> None:
        chunk: list[str] = []
        size = 0
        for line in lines:
            for begin in range(0, len(line) or 1, MOST_CHARACTERS):
                piece = line[begin : begin + MOST_CHARACTERS]
                if size + len(piece) > MOST_CHARACTERS:
                    self._publish_chunk(name, chunk)
                    chunk, size = [], 0
                chunk.append(piece)
                size += len(piece) + 1
        self._publish_chunk(name, chunk)

    def _publish_chunk(self, name: str, lines: list[str]) -> None:
        if lines and not self._try(name, "\n".join((*lines, ""))):
            self.lost_lines += len(lines)

    def _try(self, name: str, text: str) -> bool:
        offer, lost = self._offer, self.lost_lines
        if offer is None:
            return False
        safe = text.encode("utf-8", "backslashreplace").decode()
        try:
            if not offer(CONSOLE, name, safe, lost):
                return False
        except RunClosedError:
            self._offer = None
            return False
        except (ExpmanError, MemoryError):
            return False
        self.lost_lines -= lost
        return True


def _notebook() -> Any:
    """The shell of IPython that this program runs in; None if there is none."""
    ipython: Any = sys.modules.get("IPython")
    return None if ipython is None else getattr(ipython, "get_ipython", lambda: None)()


class _Patch:
    """The `write` of one stream, replaced.

    Attributes:
        stream: the stream.
        name: "out" or "err".
    """

    def __init__(self, tap: ConsoleTap, stream: Any, name: str) -> None:
        self.stream = stream
        self.name = name
        self._was_reached = False
        self._had_own = "write" in getattr(stream, "__dict__", {})
        original: Any = getattr(stream, "write", None)
        self._original = original
        self._taps = taps = [tap]

        def write(text: str) -> Any:
            written = original(text)
            if not text:
                self._was_reached = True
            for one in taps:
                one.add(name, text)
            return written

        self._write = write

    def put_in_place(self) -> None:
        """Replaces `write`, if the stream has one and takes another."""
        if self._original is not None:
            with contextlib.suppress(AttributeError):
                self.stream.write = self._write

    def is_reached(self) -> bool:
        """True if what is written to the stream comes here, through whoever replaced `write`."""
        self._was_reached = False
        with contextlib.suppress(Exception):  # closed, or none at all
            self.stream.write("")
        return self._was_reached

    def let_go(self) -> None:
        """Only passes on from now on."""
        self._taps.clear()

    def remove(self) -> None:
        """Restores the stream's own `write`, unless another one has replaced ours."""
        self.let_go()
        if getattr(self.stream, "__dict__", {}).get("write") is not self._write:
            return
        if self._had_own:
            self.stream.write = self._original
        else:
            del self.stream.write


def _last_state(line: str) -> str:
    """Visible part of a line whose parts overwrite each other: the last one with text."""
    if "\r" not in line:
        return line
    return next((part for part in reversed(line.split("\r")) if part.strip()), "")


def _compact(line: str) -> str:
    """An open line without the parts that were overwritten."""
    head, mark, tail = line.rpartition("\r")
    return f"{_last_state(head)}\r{tail}" if mark and head else line
