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

    def is_awaited(self) -> bool:
        """Whether a first sample is being taken that the end of the run has to wait for."""
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
        self._deadline = 0.0
        self._is_reported = False

    def step(self, now: float) -> list[Any]:
        """Starts a sample if one is due; returns what was found since the last call."""
        if self._thread is not None and self._thread.is_alive():
            if now > self._deadline:
                self._report(f"has not returned for {self._kind.deadline_s:g} s; it is left alone")
        elif now >= self._next_at:
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

    def is_awaited(self, now: float) -> bool:
        """Whether the first sample is being taken, or was not begun, and may be waited for."""
        if now > self._begun + self._kind.awaited_s:
            return False
        return self._thread is None or self._thread.is_alive() or bool(self._found)

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
