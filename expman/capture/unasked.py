"""Records of a process without a call: its output, and its stacks when it hangs or dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expman.capture.console import ConsoleTap
from expman.capture.stacks import StackDumps
from expman.models import ExperimentConfig

if TYPE_CHECKING:  # what only a run needs is imported by its first engine
    from expman.transport.producer import LaneProducer

__all__ = ["Unasked"]


class Unasked:
    """Records as the configuration says, from the begin of a run to its end in this process."""

    def __init__(self, config: ExperimentConfig, lane: LaneProducer) -> None:
        self._lane = lane
        self._tap = ConsoleTap(lane.offer) if config.redirect_console else None
        self._stacks = StackDumps(lane.run_dir) if config.hang_after_s else None

    def start(self) -> None:
        """Begins to record. Interrupted, it is ended by `stop` and `stop_stacks` like any other."""
        if self._stacks is not None:
            self._stacks.start()
        if self._tap is not None:
            self._tap.start()

    def forget(self) -> None:
        """In a forked child: its lines are its own; its stacks go to the parent's file."""
        if self._tap is not None:
            self._tap.forget()

    def stop(self) -> None:
        """Ends the recording. The last line is recorded."""
        if self._tap is not None:
            self._tap.stop(self._lane.publish)

    def stop_stacks(self) -> None:
        """Gives the signal back: all is written."""
        if self._stacks is not None:
            self._stacks.stop()
