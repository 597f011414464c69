"""A worker's side of the end of its run: whether the writer still took what a call has published.

The writer stores CLOSING in the worker's control, waits some milliseconds, takes what is published
by then, and stores the cutoff: up to where it took the records (CUTOFF_TERMS is stored last). No
writer ever takes more.

A worker stores an index entry and looks at CLOSING afterwards. If it sees 0, its entry was stored
before the writer began to wait, so the record is taken, however a processor reorders the two. If it
sees 1, the cutoff decides. `tests/unit/test_cutoff.py` and `tests/process/test_workers.py` (runs
that are closed while workers log) show it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from expman.errors import RunClosedError
from expman.transport import layout
from expman.transport.lane_control import LaneControl

__all__ = ["CutoffWatch", "WatchedIndex"]

_CUTOFF_S = 5.0


class CutoffWatch:
    """Up to where the writer took the records of this worker.

    Args:
        control: the lane's. Only the writer stores what is read of it here.
        run_dir: for the error.

    Attributes:
        is_closing: a call has seen that the run is closing; the worker logs nothing more.
    """

    def __init__(self, control: LaneControl, run_dir: str) -> None:
        self.is_closing = False
        self.control = control
        self._run_dir = run_dir

    def wait(self, serial: int, ordinal: int) -> None:
        """Waits until the writer has stored whether it took a record.

        Args:
            serial: the term of the record, which the caller has published.
            ordinal: the record's.

        Raises:
            RunClosedError: the record was not taken.
        """
        self.is_closing = True
        deadline = time.monotonic() + _CUTOFF_S
        while (cutoff := self.control.cutoff) is None:
            if time.monotonic() > deadline:
                return  # no writer is at work; its successor takes what is published
            time.sleep(0.001)
        if not cutoff.includes(serial, ordinal):
            raise RunClosedError(self._run_dir)


class WatchedIndex:
    """A worker's index: after each store it looks at whether the run is closing.

    It does not hold the term, which must be gone when nobody else holds it.

    Args:
        watch: of its lane.
        serial: the term's.
        lengths: the entries.
        fill: takes the rest of the term's data.
    """

    def __init__(
        self, watch: CutoffWatch, serial: int, lengths: memoryview, fill: Callable[[], None]
    ) -> None:
        self._watch = watch
        self._serial = serial
        self._lengths = lengths
        self._fill = fill
        self._words = watch.control.words

    def __setitem__(self, ordinal: int, length: int) -> None:
        self._lengths[ordinal] = length
        if self._words[layout.CLOSING]:
            self._fill()  # later calls leave the fast path, and raise
            self._watch.wait(self._serial, ordinal)
