"""Runs the samplers of a run, each sample in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from expman.models import LogLevel, reason_of
from expman.transport import records
from expman.transport.hello import Hello
from expman.writer.samplers.sampler import Sampler
from expman.writer.samplers.table import SAMPLERS

__all__ = ["Sampling"]


LAST_SPACING_S = 1.0
"""A last sample is taken only if the one before is older."""


class Sampling:
    """The samplers of one run. A sampler that fails or hangs costs nothing but its samples."""

    def __init__(self, hello: Hello, *, trainer_lives: bool) -> None:
        self._samplers = [
            _Running(kind, hello)
            for kind in SAMPLERS
            if kind.spacing_for(hello) and (trainer_lives or not kind.needs_trainer)
        ]

    def step(self) -> list[Any]:
        """Starts the samples that are due; returns what was found since the last call."""
        now = time.monotonic()
        found: list[Any] = []
        for sampler in self._samplers:
            found += sampler.step(now)
        return found

    def stop(self) -> None:
        """Ends what the samplers have started."""
        for sampler in self._samplers:
            sampler.stop()

    def finish(self) -> None:
        """Has the last samples be taken, of those who take one: the owner is closing the run."""
        now = time.monotonic()
        for sampler in self._samplers:
            sampler.finish(now)

    def is_awaited(self) -> bool:
        """True if a first or last sample is not there yet that the run's end has to wait for."""
        now = time.monotonic()
        return any(sampler.is_awaited(now) for sampler in self._samplers)


class _Running:
    """One sampler of one run."""

    def __init__(self, kind: type[Sampler], hello: Hello) -> None:
        self._kind = kind
        self._hello = hello
        self._spacing_s = kind.spacing_for(hello)
        self._sampler: Sampler | None = None
        self._found: deque[Any] = deque()  # the thread appends, the writer's takes
        self._thread: threading.Thread | None = None
        self._begun = self._next_at = time.monotonic()
        self._await_until = self._begun + kind.awaited_s
        self._is_last = False
        self._deadline = 0.0
        self._is_reported = False

    def step(self, now: float) -> list[Any]:
        """Starts a sample if one is due; returns what was found since the last call."""
        if self._thread is not None and self._thread.is_alive():
            if now > self._deadline:
                self._report(f"has not returned for {self._kind.deadline_s:g} s; it is left alone")
        elif now >= self._next_at:
            self._begun = now
            self._next_at = now + self._spacing_s
            self._deadline = now + self._kind.deadline_s
            self._start()
        found = []
        while self._found:
            found.append(self._found.popleft())
        return found

    def stop(self) -> None:
        """Ends what the sampler has started."""
        if self._sampler is not None:
            self._sampler.stop()

    def finish(self, now: float) -> None:
        """Has the last sample be taken, unless one was begun just now."""
        if self._is_last or not self._kind.takes_last:
            return
        self._is_last = True
        self._await_until = max(self._await_until, now + self._kind.awaited_s)
        if now - self._begun > LAST_SPACING_S:
            self._next_at = now

    def is_awaited(self, now: float) -> bool:
        """True if a sample is being taken, or is due, and may be waited for."""
        if now > self._await_until:
            return False
        is_taking = self._thread is not None and self._thread.is_alive()
        return is_taking or now >= self._next_at or bool(self._found)

    def _start(self) -> None:
        thread = threading.Thread(target=self._sample, name="expman-sampler", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:  # no more threads for this user at present
            self._report(f"cannot be started: {exc}")
            return
        self._thread = thread

    def _sample(self) -> None:
        try:
            self._sampler = self._sampler or self._kind(self._hello)
            self._found.extend(self._sampler.sample())
        except Exception as exc:  # noqa: BLE001 - whatever it is, it costs this sample only
            self._report(f"failed: {reason_of(exc)}")

    def _report(self, what: str) -> None:
        if not self._is_reported:
            self._is_reported = True
            text = f"the sampler {self._kind.name!r} {what}; later failures are not reported"
            self._found.append(records.Log(0, time.time_ns(), LogLevel.WARN, text))
