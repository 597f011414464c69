"""Ends of the processes that log into a run: which of them are worth a line in run.log.

A lane that was never closed proves nothing: a DataLoader's worker ends that way after each epoch.
So a process is reported only if its exit status is known and no usual one, or if nothing is known:
it has neither closed its lane nor noted its end there. The line then says just that.
"""

from __future__ import annotations

import signal

from expman.models import PROCESS_ENDED, LogLevel
from expman.shown import count_of
from expman.transport import exit_record
from expman.transport.consumer import LaneConsumer
from expman.writer.behind import is_rank
from expman.writer.files import RunFiles
from expman.writer.lanes import LaneState
from expman.writer.memory_kills import MemoryKills
from expman.writer.post_mortem import describe_status
from expman.writer.process_end import ProcessEnd

__all__ = ["ProducerEnds", "describe_end"]

MOST_LINES = 100
"""Of one run; more ends are counted in run.yaml only."""
_ASKED_TO_END = (-signal.SIGTERM, -signal.SIGINT)
"""As pools and DataLoaders end their workers."""
_UNKNOWN = (
    "is gone: its lane was never closed, and its exit status is not known (most likely a signal, "
    "such as SIGKILL or SIGTERM)"
)


def describe_end(status: int | None, memory_kills: int, *, is_rank: bool) -> str | None:
    """How a producer that did not close its lane ended; None if that is nothing to report.

    Args:
        status: its exit status, negative for a signal; None if that is not known.
        memory_kills: processes of its cgroup that the kernel has killed since it began to log.
        is_rank: it is a rank of a job: nobody ends such a one as pools end their workers.
    """
    if status == 0 or (status in _ASKED_TO_END and not is_rank):
        return None
    if status is not None and status > 0:
        return f"ended with {describe_status(status)}"
    how = _UNKNOWN if status is None else f"was {describe_status(status)}"
    if memory_kills and status in (None, -signal.SIGKILL):
        what = "a process" if memory_kills == 1 else f"{memory_kills:,} processes"
        how += f"; the kernel killed {what} of its cgroup meanwhile: out of memory"
    return how


class ProducerEnds:
    """Watches the processes of one run's lanes."""

    def __init__(self) -> None:
        self._watched: dict[int, tuple[ProcessEnd, MemoryKills]] = {}

    def add(self, lane: LaneConsumer) -> ProcessEnd:
        """Watches the process of a lane, and returns its end."""
        end = ProcessEnd(lane)
        self._watched[lane.lane] = (end, MemoryKills(end.pid or lane.hello.pid))
        return end

    def report(self, files: RunFiles, lane: LaneConsumer, *, only_known: bool) -> None:
        """Adds a line about a producer that is gone, if it is worth one, and forgets it.

        Args:
            files: the run's.
            lane: of the producer, with all its records taken.
            only_known: one whose exit status is not known is not reported: the run ends, too.
        """
        end, kills = self._watched.pop(lane.lane, (None, None))
        state = files.run.lanes.get(lane.lane)
        if end is None or kills is None or state is None or lane.hello.role != "worker":
            return
        how = self._how(state, end, kills, only_known=only_known)
        end.close()
        if how is None:
            return
        meta = files.run.meta
        meta.processes_lost += 1
        files.run.meta_changed = True
        if meta.processes_lost <= MOST_LINES:
            level = LogLevel.WARN if how.startswith(_UNKNOWN) else LogLevel.ERROR
            files.note(level, f"{PROCESS_ENDED}{_who(state)} {how}; {_rows(state)}")

    def _how(
        self, state: LaneState, end: ProcessEnd, kills: MemoryKills, *, only_known: bool
    ) -> str | None:
        lane = state.consumer
        if lane.sealed:
            return "ended as FAILED" if state.has_failed else None
        status = end.status()
        if status is None:
            status = exit_record.read(lane.control)
        if status is None and (only_known or end.runs_on):
            return None
        return describe_end(status, kills.count(), is_rank=is_rank(state))

    def close(self) -> None:
        """Gives all descriptors back."""
        for end, _ in self._watched.values():
            end.close()
        self._watched.clear()


def _who(state: LaneState) -> str:
    hello = state.consumer.hello
    rank = "" if hello.rank is None else f", rank {hello.rank.rank}"
    host = f" on {hello.host.hostname}" if hello.host.hostname else ""
    return f"{state.producer} (pid {hello.pid}{host}{rank})"


def _rows(state: LaneState) -> str:
    rows = state.consumer.rows
    if not rows:
        return "it had logged no row"
    which = "" if state.last_step is None else f", the last one with step {state.last_step:,}"
    return f"it had logged {count_of(rows, 'row')}{which}"
