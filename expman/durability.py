"""Waits until the writer has made durable what a process has logged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from expman.errors import FlushError, RunClosedError
from expman.models import RunStatus

if TYPE_CHECKING:  # what only a run needs is imported by its first engine
    from expman.launch.supervisor import Supervisor
    from expman.transport.producer import LaneProducer

__all__ = ["Durability"]

_REAP_S = 2.0
"""How long the owner waits for its writer to end after the run's end."""


class Durability:
    """Tracks how many records of one producer are durable.

    Args:
        lane: the producer's.
        supervisor: of the writer, in the process that owns the run.

    Attributes:
        supervisor: None in a forked child.
    """

    def __init__(self, lane: LaneProducer, supervisor: Supervisor | None) -> None:
        self.supervisor = supervisor
        self._lane = lane

    @property
    def seq(self) -> int | None:
        """Number of the producer's last durable row, from 0; None if none is."""
        if not self._lane.claimed or not self._lane.control.durable_rows:
            return None
        control = self._lane.control
        return control.seq_base + control.durable_rows - 1

    @property
    def step(self) -> int | None:
        """Step of the producer's last durable row that has one."""
        return self._lane.control.durable_step if self._lane.claimed else None

    def wait(self, limit_s: float) -> None:
        """Waits until everything that was logged before is durable.

        Raises:
            FlushError: it is not after `limit_s` seconds, or no writer can be kept running.
            RunClosedError: after the run's end.
        """
        deadline = time.monotonic() + limit_s
        if self.supervisor is not None:
            self.supervisor.try_again()
        number = self._lane.request_flush(limit_s)
        if number == 0:
            return  # a worker that has logged nothing
        if number is None:
            raise self._error(limit_s)
        control = self._lane.control
        while control.flushed < number and not control.run_ended:
            if time.monotonic() > deadline or self._is_hopeless():
                raise self._error(limit_s)
            time.sleep(0.001)

    def close_worker(self, status: RunStatus, timeout_s: float) -> None:
        """Ends a worker's part of the run, and waits until it is durable.

        Raises:
            FlushError: as for `wait`.
        """
        deadline = time.monotonic() + timeout_s
        try:
            try:
                self.wait(timeout_s)
            finally:
                self._lane.close(status, None, max(0.0, deadline - time.monotonic()))
        except RunClosedError:
            return  # the run has ended, or ends: whatever was taken becomes durable by that

    def close_owner(
        self, status: RunStatus, reason: str | None, timeout_s: float, *, taken: Callable[[], None]
    ) -> None:
        """Ends the run, and waits until it is durable.

        Args:
            status: RUNNING leaves it to the exit status; then all but the status is durable.
            reason: of the status.
            timeout_s: seconds to wait.
            taken: called as soon as the status is published.

        Raises:
            FlushError: as for `wait`.
        """
        supervisor = self.supervisor
        assert supervisor is not None
        deadline = time.monotonic() + timeout_s
        supervisor.try_again()
        if not self._lane.close(status, reason, timeout_s):
            raise self._error(timeout_s)
        taken()
        control = self._lane.control
        is_open = status is RunStatus.RUNNING
        pause_s = 0.0002
        while not (control.run_ended or (is_open and control.settled)):
            if time.monotonic() > deadline or supervisor.failing:
                raise self._error(timeout_s)
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.3, 0.01)
        supervisor.stop(min(_REAP_S, timeout_s) if control.run_ended else 0)

    def _is_hopeless(self) -> bool:
        if self.supervisor is not None:
            return self.supervisor.failing
        gate = self._lane.gate
        return gate is not None and not gate.may_wait()

    def _error(self, timeout_s: float) -> FlushError:
        """Explains why not everything is durable, where it is, and what to do."""
        write_error = self._lane.control.write_error
        base_dir = os.path.dirname(os.path.dirname(self._lane.run_dir))
        if self.supervisor is not None and self.supervisor.failing:
            why = f"no writer can be kept running ({self.supervisor.reason()})"
        elif write_error:
            why = write_error
        else:
            why = f"the writer did not finish within {timeout_s:g} s"
        return FlushError(
            self._lane.run_dir,
            f"not everything is durable: {why}",
            f"the data is in shared memory ({self._lane.address.place}); "
            f"`expman-writer recover {base_dir}` brings it into files",
        )
