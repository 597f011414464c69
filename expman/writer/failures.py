"""Counts unforeseen failures of runs, and lists the runs that were given up."""

from __future__ import annotations

import os
import time

from expman.models import reason_of

__all__ = ["RESTARTS", "Failures", "pause_s", "place_of"]

RESTARTS = 3
"""How often a run is begun anew from shared memory after a failure that is not its disk's."""
FORGOTTEN_S = 60.0
"""A failure so long ago does not count any more."""
FAILURE_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


class Failures:
    """Failures of the runs of one writer.

    Attributes:
        given_up: by run directory, why the run is not written any more.
    """

    def __init__(self) -> None:
        self.given_up: dict[str, str] = {}
        self._counts: dict[str, tuple[int, float]] = {}

    def add(self, run_dir: str, exc: Exception) -> int:
        """Counts a failure; returns how often the run has failed in a row."""
        count, last = self._counts.get(run_dir, (0, 0.0))
        now = time.monotonic()
        if now - last > FORGOTTEN_S:
            count = 0
        # Memory may be there again, however often it was not.
        count = min(count + 1, RESTARTS) if isinstance(exc, MemoryError) else count + 1
        self._counts[run_dir] = count, now
        return count

    def forget(self, run_dir: str) -> None:
        """Forgets a run that has ended."""
        self._counts.pop(run_dir, None)


def pause_s(failures: int) -> float:
    """Seconds for which a run is left alone after so many failures in a row."""
    return min(failures * FAILURE_PAUSE_S, LONGEST_PAUSE_S)


def place_of(exc: Exception) -> str:
    """Type, text and place of a failure."""
    place = exc.__traceback__
    assert place is not None
    while place.tb_next is not None:
        place = place.tb_next
    file = os.path.basename(place.tb_frame.f_code.co_filename)
    return f"{reason_of(exc)} ({file}:{place.tb_lineno})"
