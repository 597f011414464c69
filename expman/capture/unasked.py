"""Records of a process without a call: its output, and its stacks when it hangs or dies."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from expman.capture.console import ConsoleTap
from expman.capture.stacks import StackDumps
from expman.models import ExperimentConfig

if TYPE_CHECKING:  # what only a run needs is imported by its first engine
    from expman.capture.descriptors import DescriptorTap
    from expman.transport.producer import LaneProducer

__all__ = ["Unasked"]


class Unasked:
    """Records as the configuration says, from the begin of a run to its end in this process.

    Args:
        config: of the run.
        lane: of this process.
        address: of the engine that owns the run; None in a worker.
    """

    def __init__(
        self, config: ExperimentConfig, lane: LaneProducer, address: str | None = None
    ) -> None:
        self._lane = lane
        self._tap = ConsoleTap(lane.offer) if config.redirect_console else None
        self._descriptors: DescriptorTap | None = None
        self._has_relay = config.redirect_console == "fd"
        if self._has_relay and address is not None:
            from expman.capture.descriptors import DescriptorTap

            self._descriptors = DescriptorTap(address, config.python)
        self._stacks = StackDumps(lane.run_dir) if config.hang_after_s else None

    def start(self) -> None:
        """Begins to record. Interrupted, it is ended by `stop` and `stop_stacks` like any other."""
        if self._stacks is not None:
            self._stacks.start()
        if self._descriptors is not None:
            self._descriptors.start()
        if self._tap is not None:
            self._tap.start(self._streams())

    def _streams(self) -> Iterator[tuple[Any, str]]:
        """The streams of Python's that do not lead to the run's relay."""
        for stream, name, number in ((sys.stdout, "out", 1), (sys.stderr, "err", 2)):
            if not (self._has_relay and self._leads_to_relay(stream, number)):
                yield stream, name

    def _leads_to_relay(self, stream: object, number: int) -> bool:
        from expman.capture.descriptors import is_of, is_relayed

        taken = self._descriptors.has_taken(number) if self._descriptors else is_relayed(number)
        return taken and is_of(stream, number)

    def forget(self) -> None:
        """In a forked child: its lines are its own; its stacks go to the parent's file."""
        if self._tap is not None:
            self._tap.forget()

    def stop(self) -> None:
        """Ends the recording. The last line is recorded."""
        if self._tap is not None:
            self._tap.stop(self._lane.publish)
        if self._descriptors is not None:
            self._descriptors.stop()

    def stop_stacks(self) -> None:
        """Gives the signal back: all is written."""
        if self._stacks is not None:
            self._stacks.stop()
