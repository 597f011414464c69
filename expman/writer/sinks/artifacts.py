"""Artifacts: to artifacts/, by way of requests in the staging directory."""

from __future__ import annotations

from expman.models import LogLevel
from expman.transport import records as wire
from expman.writer.copier import CopyOutcome, missing_line
from expman.writer.lanes import LaneState
from expman.writer.open_run import OpenRun
from expman.writer.sinks.sink import Sink

__all__ = ["ArtifactSink"]


class ArtifactSink(Sink):
    """Requests to store artifacts, and what became of them.

    Resumes by the word ARTIFACTS_KEPT of each lane: what is below it is in a request file, which
    is removed once the artifact is stored.
    """

    name = "artifacts"
    may_leave_out = False

    def __init__(self, run: OpenRun) -> None:
        super().__init__(run)
        self._missing: list[CopyOutcome] = []  # reported, and not noted in their requests yet

    def add_lane(self, lane: LaneState) -> None:
        """Notes what a killed predecessor has kept and could not note."""
        control = lane.consumer.control
        control.artifacts_kept = max(control.artifacts_kept, self.run.copier.found(lane.number))

    def take(self, record: wire.Artifact, lane: LaneState | None, number: int) -> None:
        """Takes a request, unless it is in a file already."""
        assert lane is not None
        if number >= lane.consumer.control.artifacts_kept:
            self.run.copier.take(lane.number, number, record, lane.term)

    @property
    def has_pending(self) -> bool:
        """True if there are requests to note, or outcomes to report."""
        return self.run.copier.is_due

    @property
    def is_urgent(self) -> bool:
        """True if memory that is short can be given back once requests are noted."""
        return self.run.copier.has_kept and any(
            lane.consumer.is_pressed() for lane in self.run.lanes
        )

    def write(self, *, sync: bool) -> None:
        """Notes which requests are durable, and reports what became of earlier ones."""
        try:
            for request in self.run.copier.keep():
                lane = self.run.lanes.get(request.lane)
                if lane is not None:
                    lane.consumer.control.artifacts_kept = request.record + 1
            for lane in self.run.lanes:
                lane.consumer.hold_from(self.run.copier.first_term(lane.number))
        finally:
            self._report()

    def _report(self) -> None:
        """Reports what became of artifacts: in run.log, in run.yaml and to who saved them."""
        for outcome in self.run.copier.outcomes():
            for warning in outcome.warnings:
                self.run.note(LogLevel.WARN, warning)
            if outcome.problem is not None:
                self._report_missing(outcome, outcome.problem)
        while self._missing:
            self.run.copier.note_missing(self._missing[0])
            del self._missing[0]

    def _report_missing(self, outcome: CopyOutcome, problem: str) -> None:
        request = outcome.request
        self.run.note(LogLevel.ERROR, missing_line(request, problem))
        self.run.meta_changed = True
        lane = self.run.lanes.get(request.lane)
        if lane is None or lane.consumer.sealed:  # nobody there learns of it: the owner does
            lane = self.run.lanes.owner
        if lane is not None:
            lane.consumer.control.add_missing_artifact(f"{request.target}: {problem}")
        self._missing.append(outcome)

    def finish(self) -> None:
        """Removes what is left of the requests."""
        self.run.copier.clean_up()
