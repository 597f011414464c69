"""Starts the writer process and starts a successor when it dies.

The supervising thread blocks in poll() on the writer's stderr and on its end, or, where the
writer is shared, until `waiter` sees that one's end: it costs nothing while all is well.
A line on stderr is a warning for the user.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections import deque
from typing import Protocol

from expman import notices
from expman.interpreter import start_writer
from expman.launch import waiter
from expman.launch.child import Child
from expman.launch.wake import Wake
from expman.transport import segment
from expman.transport.address import revive_address
from expman.transport.liveness import mark_of

__all__ = ["Supervisor", "WatchedLane"]

WARN_DEATHS = 4
"""The user is warned after this many writers in a row that wrote nothing."""
KILLS = 12
"""After this many in a row that a signal killed before they wrote anything, flush() gives up."""
CLEANERS = 3
"""How many successors clean up after a writer that was killed after the run's end."""
FIRST_PAUSE_S = 0.1
"""Before the third writer in a row; each further one comes after twice as long."""
SUCCESSOR_S = 0.8
LONGEST_PAUSE_S = 10.0
ANOTHER_SERVES = 3
"""Exit code of a writer whose address another writer serves."""


class WatchedLane(Protocol):
    """State of the owner's lane that the supervisor needs."""

    def has_ended(self) -> bool:
        """True if the run has ended, so that the writer is expected to end."""
        ...

    def progress(self) -> int:
        """A number that grows as the writer writes."""
        ...


class Supervisor:
    """Keeps an address served. Made in the thread that supervises.

    Args:
        address: what the writer serves.
        run_dir: for messages.
        python: the interpreter that the user names for writers, if any.
        lane: the owner's lane.
        shared: a writer that somebody else started serves it now; one of our own is started
            only when that one has gone.

    Attributes:
        failing: many writers in a row wrote nothing; more are tried, but seldom.
    """

    def __init__(
        self,
        address: segment.Address,
        run_dir: str,
        python: str | None,
        lane: WatchedLane,
        *,
        shared: bool,
    ) -> None:
        self.failing = False
        self._asked = 0  # how often somebody has asked for a try
        self._lane = lane
        self._address = address
        self._run_dir = run_dir
        self._python = python
        self._shared = shared
        self._last_words: deque[str] = deque(maxlen=8)
        self._stopping = Wake()  # never waited for: once it is set it stays so
        self._wake = Wake()
        self._process = None if shared else self._spawn()
        self._thread = threading.current_thread()

    def _spawn(self) -> Child | None:
        try:
            process = start_writer(
                "serve",
                "--address",
                str(self._address),
                "--starter",
                mark_of(os.getpid()),
                python=self._python,
                stderr=subprocess.PIPE,
            )
            return Child(process)
        except Exception as exc:  # noqa: BLE001 - an audit hook may raise anything
            self._last_words.append(f"it cannot be started: {exc}")
            return None

    def supervise(self) -> None:
        """Replaces writers that end before the run, until `stop` or its end.

        Goes on after whatever was raised into this thread: without it no writer is replaced.
        """
        while True:
            try:
                return self._watch()
            except BaseException as exc:  # noqa: BLE001 - the top of a thread
                self._last_words.append(f"the supervisor failed: {exc!r}")
                self._wake.wait(SUCCESSOR_S)

    def _watch(self) -> None:
        deaths, known, cleaners, asked = 0, -1, CLEANERS, 0
        while True:
            if self._shared:
                if not self._await_end():
                    return
                self._process = self._succeed()
            code = self._listen()
            if code is not None and code < 0 and self._lane.has_ended() and cleaners:
                cleaners -= 1  # killed after the run's end: the memory is still there
                self._process = self._spawn()
                continue
            if self._is_over():
                return
            self._shared = code == ANOTHER_SERVES
            if self._shared:
                self._wake.wait(SUCCESSOR_S / 8)  # it may hold an address that has lost its name
                continue
            progress = self._lane.progress()
            if progress != known:
                deaths, known, self.failing = 0, progress, False
            deaths += 1
            killed = code is not None and code < 0
            if deaths == WARN_DEATHS:
                self._warn_of_deaths()
            # A try that began before somebody asked for one is not the one that he waits for.
            is_last = asked == self._asked
            self.failing = is_last and deaths >= (KILLS if killed else WARN_DEATHS)
            longest_s = LONGEST_PAUSE_S if self.failing else SUCCESSOR_S
            pause_s = FIRST_PAUSE_S * 2 ** min(deaths - 2, 16) if deaths > 1 else 0.0
            self._wake.wait(min(pause_s, longest_s))
            if self._is_over():
                return
            asked = self._asked
            self._process = self._succeed()

    def _succeed(self) -> Child | None:
        """Starts a writer where there was one before; its address may have lost its name."""
        try:
            revive_address(self._address).close()
        except OSError as exc:
            self._last_words.append(f"{self._address}: {exc}")
        return self._spawn()

    def _await_end(self) -> bool:
        """Waits for the end of the shared writer; False: the run's came first."""
        waiter.notify(self._address, self._wake)
        if not self._is_over():
            self._wake.wait()
        waiter.withdraw(self._address, self._wake)
        return not self._is_over()

    def _is_over(self) -> bool:
        return self._stopping.is_set() or self._lane.has_ended()

    def _warn_of_deaths(self) -> None:
        notices.warn_aside(
            f"expman: the writer of {self._run_dir} ended {WARN_DEATHS} times in a row without "
            f"writing ({self.reason()}); rows wait in shared memory, and `expman-writer recover` "
            "brings them into files"
        )

    def _listen(self) -> int | None:
        """Passes the writer's messages on until it ends; returns its exit status."""
        if self._process is None:
            return None
        for text in self._process.messages():
            if text:
                self._last_words.append(text)
            if text.startswith("expman-writer: "):
                notices.warn_aside(text)
        return self._process.wait()

    def reason(self) -> str:
        """The writer's own latest words."""
        return self._last_words[-1] if self._last_words else "it said nothing"

    def pid(self) -> int | None:
        """Process id of the writer that was started here; None if it is a shared one."""
        return None if self._process is None else self._process.pid

    def try_again(self) -> None:
        """Starts the next writer now instead of after the pause: a call waits for it."""
        if self.failing:
            self._asked += 1
            self.failing = False  # until this try has failed, too
            self._wake.set()

    def may_wait(self) -> bool:
        """True if there is hope for a writer."""
        return not self.failing

    def call_off(self) -> None:
        """Ends a writer that has no lane yet, instead of supervising it."""
        if self._process is not None:
            self._process.kill()

    def stop(self, timeout_s: float) -> None:
        """Starts no more successors, and waits for the end of a writer started here."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout_s)
