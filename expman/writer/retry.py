"""A run that cannot be written at present: when it is tried again, and who learns of it."""

from __future__ import annotations

import time

from expman.writer.served_lanes import ServedLanes

__all__ = ["Retry", "describe"]

RETRY_S = 0.25
ABANDON_S = 300.0
"""How long a writer tries to write a run that no living process logs into."""


class Retry:
    """Tracks what keeps a run from being written, and when to try again.

    Attributes:
        write_error: what cannot be done at present, or None.
        has_failed: the last round failed.
        unreported: lines for run.log, which get there once it can be written.
    """

    def __init__(self, lanes: ServedLanes) -> None:
        self.write_error: str | None = None
        self.has_failed = False
        self.unreported: list[str] = []
        self._lanes = lanes
        self._since: float | None = None
        self._retry_at = 0.0

    @property
    def is_pausing(self) -> bool:
        """True if it is too early for the next try."""
        return time.monotonic() < self._retry_at

    @property
    def lasts_long(self) -> bool:
        """True if it cannot be written for so long that it may be given up."""
        return self._since is not None and time.monotonic() - self._since >= ABANDON_S

    def fail(self, error: str) -> None:
        """Notes that a round has failed; the next one comes a little later."""
        self.has_failed = True
        self.pause(RETRY_S, error)

    def pause(self, pause_s: float, error: str) -> None:
        """Tries nothing for a while; flush() and close() say why, and run.log will."""
        self._retry_at = time.monotonic() + pause_s
        self.set(error)

    def set(self, error: str | None) -> None:
        """Notes what cannot be done, and shows it to the producers."""
        if error == self.write_error:
            return
        for lane in self._lanes:
            lane.control.write_error = error or ""
        if error is None:
            self._since = None
        elif self.write_error is None:
            self._since = time.monotonic()
            self.unreported.append(describe(error))
        self.write_error = error


def describe(error: str) -> str:
    """The line for the user about a write error that may heal."""
    if error.startswith("artifact "):
        return f"cannot store it yet, it waits in the run's directory: {error}"
    return f"cannot write, rows wait in shared memory: {error}"
