"""The metadata of a run and of an experiment: run.yaml and experiment.yaml."""

from __future__ import annotations

import msgspec

from expman.models import Host, MetricValue, Number, Rank, RunStatus

__all__ = ["PRUNED", "Attempt", "ExperimentMetadata", "MetricBest", "RunMetadata"]

PRUNED = "pruned"
"""The tag of a run that was ended early, because others were better."""


class MetricBest(msgspec.Struct, frozen=True):
    """The least, the greatest and the last number of a metric, each with the user's step.

    Attributes:
        min: the least value; NaN does not count. None if all are NaN.
        min_step: the first step with it; None if that row has no step.
        max: the greatest value; NaN does not count.
        max_step: the first step with it.
        last: the last value, which may be NaN.
        last_step: its step.
        nonfinite: the first value that is NaN or infinite; None if there is none.
        nonfinite_step: its step.
    """

    min: Number | None = None
    min_step: int | None = None
    max: Number | None = None
    max_step: int | None = None
    last: Number | None = None
    last_step: int | None = None
    nonfinite: Number | None = None
    nonfinite_step: int | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a run that went on after it had ended.

    Attributes:
        started_at, finished_at, duration_secs, status, reason: as in RunMetadata, of it alone.
        from_step: the step that it began with; rows of earlier attempts from that step on are
            superseded. None: it superseded none.
        host: name of the host.
        rows_logged, rows_dropped, rows_missing: counts of the run at its end.
    """

    started_at: str | None = None
    finished_at: str | None = None
    duration_secs: float | None = None
    status: RunStatus = RunStatus.RUNNING
    reason: str | None = None
    from_step: int | None = None
    host: str = ""
    rows_logged: int = 0
    rows_dropped: int = 0
    rows_missing: int = 0


class RunMetadata(msgspec.Struct, kw_only=True):
    """The content of run.yaml. Times are UTC in ISO 8601, durations in seconds.

    Of a run with several attempts, status, reason and `finished_at` are the present one's,
    `started_at` is the first one's, and `duration_secs` and the counts are those of all together.
    """

    name: str
    experiment: str
    status: RunStatus = RunStatus.RUNNING
    reason: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    duration_secs: float | None = None
    heartbeat_at: str | None = None
    stalled_since: str | None = None
    stalled: list[str] = []
    pruned: str | None = None
    description: str | None = None
    tags: list[str] | None = None
    scalars: dict[str, MetricValue] = {}
    vectors: dict[str, MetricValue] = {}
    best: dict[str, MetricBest] = {}
    language: str | None = None
    env_path: str | None = None
    rows_logged: int = 0
    rows_written: int = 0
    rows_dropped: int = 0
    rows_missing: int = 0
    artifacts_missing: int = 0
    processes_lost: int = 0
    lanes_unreadable: int = 0
    scalars_left_out: int = 0
    vectors_left_out: int = 0
    best_left_out: int = 0
    console_lines_lost: int = 0
    media_dropped: int = 0
    mirror: str | None = None
    mirror_behind: int = 0
    writer_restarts: int = 0
    buffer_high_water_bytes: int = 0
    group: str | None = None
    project: str | None = None
    rank: Rank | None = None
    host: Host = Host()
    attempt: int = 1
    attempt_started_at: str | None = None
    from_step: int | None = None
    rows_superseded: int = 0
    earlier_attempts: list[Attempt] = []

    @property
    def is_pruned(self) -> bool:
        """Whether the run was ended early, because others were better."""
        return PRUNED in (self.tags or ())

    @property
    def attempts(self) -> list[Attempt]:
        """All attempts, the present one last."""
        own_s = self.duration_secs
        if own_s is not None:
            own_s = round(own_s - self._earlier_s, 3)
        present = Attempt(
            started_at=self.attempt_started_at or self.started_at,
            finished_at=self.finished_at,
            duration_secs=own_s,
            status=self.status,
            reason=self.reason,
            from_step=self.from_step,
            host=self.host.hostname,
            rows_logged=self.rows_logged,
            rows_dropped=self.rows_dropped,
            rows_missing=self.rows_missing,
        )
        return [*self.earlier_attempts, present]

    @property
    def _earlier_s(self) -> float:
        return sum(one.duration_secs or 0.0 for one in self.earlier_attempts)

    def end_as(self, status: RunStatus, reason: str | None) -> tuple[RunStatus, str | None]:
        """The status and the reason that the run ends with; adds the tag to a pruned run.

        A run that a sweep ended early is FINISHED, however its process ended.
        """
        if self.pruned is None:
            return status, reason
        self.tags = list(dict.fromkeys((*(self.tags or ()), PRUNED)))
        return RunStatus.FINISHED, self.pruned

    def set_duration(self, attempt_s: float | None) -> None:
        """Sets `duration_secs` by how long the present attempt took."""
        self.duration_secs = None if attempt_s is None else round(attempt_s + self._earlier_s, 3)


class ExperimentMetadata(msgspec.Struct, kw_only=True):
    """The content of experiment.yaml."""

    display_name: str | None = None
    description: str | None = None
    tags: list[str] = []
    project: str | None = None
