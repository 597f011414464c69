"""A worker's view of its run's owner."""

from __future__ import annotations

import os
import time

from expman.transport import segment
from expman.transport.hello import Hello
from expman.transport.lane_control import LaneControl
from expman.transport.liveness import lives

__all__ = ["RunGate"]

ABANDONED_S = 10.0
"""How long a worker waits for memory while neither the owner nor a writer lives."""


class RunGate:
    """Shows a worker whether its run's owner lives, and whether the run is closing.

    Args:
        owner: the segment of the owner's lane; it stays open as long as the gate is used.
        control: its control.
        address: where the writer looks for lanes.
    """

    def __init__(
        self,
        owner: segment.Segment,
        control: LaneControl,
        address: segment.Address,
    ) -> None:
        self.control = control
        self._owner = owner
        self._address = address
        self._alone_since: float | None = None

    @classmethod
    def attach(cls, address: segment.Address, lane: int, path: str | None = None) -> RunGate:
        """Finds the owner's lane.

        Args:
            address: where it was claimed.
            lane: its number.
            path: what opens it, if its name was removed and `nameless.find` gave the path.

        Raises:
            FileNotFoundError: the run has ended, with all its processes.
            CorruptLaneError, LayoutVersionError: it cannot be read.
        """
        name = address.segment(lane)
        if path is None:
            owner = segment.attach(address.place, name, holders=None)
        else:
            owner = segment.attach_nameless(address.place, name, path)
        return cls(owner, LaneControl.open(name, owner.map()), address)

    @property
    def hello(self) -> Hello:
        """The owner's hello."""
        return self.control.hello

    @property
    def closing(self) -> bool:
        """True if the run takes no more records."""
        return self.control.closing

    @property
    def is_done(self) -> bool:
        """True if all of this lane is in the files; of the owner's, that they are final."""
        return self.control.run_ended

    def count_laneless(self, rows: int) -> None:
        """Adds to the rows that this process dropped because it has no lane; may be negative.

        Two of such workers may share one of the 64 counts, and then one may overwrite rows of the
        other. A lock would be worse: a killed process would leave it locked.
        """
        self.control.count_laneless(os.getpid(), rows)

    @property
    def owner_lives(self) -> bool:
        """True if the run's owner lives."""
        return lives(self._owner, self.hello.pid)

    def may_wait(self) -> bool:
        """False once neither the owner nor a writer has lived for a while."""
        if self.owner_lives or self._writer_lives():
            self._alone_since = None
            return True
        now = time.monotonic()
        if self._alone_since is None:
            self._alone_since = now
        return now - self._alone_since < ABANDONED_S

    def _writer_lives(self) -> bool:
        try:
            base = segment.attach(self._address.place, self._address.segment())
        except OSError:
            return False
        try:
            return base.is_locked()
        finally:
            base.close()
