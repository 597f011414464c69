"""Metadata and scalars: to the journal with each change, to run.yaml from time to time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

from expman.errors import StorageError
from expman.metadata import ExperimentMetadata
from expman.models import LogLevel, MetricValue, RunStatus
from expman.shown import count_of
from expman.storage import yamlfile
from expman.storage.experiment_file import create_experiment, set_experiment_project
from expman.storage.journal import Journal
from expman.storage.mirror_state import count_behind
from expman.storage.times import iso, seconds_between
from expman.transport import records as wire
from expman.transport.identity import this_host
from expman.writer.counts import Counts
from expman.writer.edits import Edits
from expman.writer.lanes import LaneState
from expman.writer.open_run import OpenRun
from expman.writer.sinks.sink import Sink

__all__ = ["HEARTBEAT_S", "MetadataSink"]

SHARE = 0.02
"""Share of a core that writing run.yaml may take."""
SPACING_S = 1.0
HEARTBEAT_S = 30.0
"""run.yaml is renewed this often at least. `stale` takes a run for dead only if it is not."""
MANY_ENTRIES = 1000
"""With more scalars and metrics, run.yaml is not written for each change: the journal has it."""


class _Schedule:
    """Schedule of the next writes of run.yaml.

    Args:
        heartbeat_s: seconds between heartbeats that its content has, too.
    """

    def __init__(self, heartbeat_s: float) -> None:
        self._heartbeat_s = heartbeat_s
        self.next_write = self.next_heartbeat = self.next_stamp = time.monotonic()

    def note_written(self, started: float) -> None:
        """Sets the next times, from what writing it has cost since `started`."""
        cost_s = time.monotonic() - started
        self.next_write = started + max(SPACING_S, cost_s / SHARE)
        self.note_stamp(started)

    def note_stamp(self, now: float) -> None:
        """Notes that the content has the time of a heartbeat."""
        self.next_stamp = now + self._heartbeat_s
        self.note_heartbeat(now)

    def note_heartbeat(self, now: float) -> None:
        """Notes that the file's own time is that of a heartbeat."""
        self.next_heartbeat = now + min(self._heartbeat_s, HEARTBEAT_S)


class MetadataSink(Sink):
    """Scalars, counts, status and heartbeat of a run.

    Resumes by the journal, which has the state after the last change.
    """

    name = "run.yaml"

    def __init__(self, run: OpenRun) -> None:
        super().__init__(run)
        is_created = create_experiment(
            os.path.dirname(run.run_dir), ExperimentMetadata(project=run.meta.project)
        )
        self._file = yamlfile.RunFile(run.run_dir)
        self._journal = Journal(run.run_dir)
        self._counts = Counts(run)
        self._schedule = _Schedule(run.hello.heartbeat_interval_secs)
        self._changed_scalars: dict[str, MetricValue] = {}
        self._is_behind = False  # run.yaml: the journal has what it has not
        self._rows_shown = run.store.rows_written
        self._unreadable_lanes = 0
        self._edits = Edits(run.run_dir)
        self._warned: set[str] = set()
        if run.meta.project and not is_created and not run.meta.writer_restarts:
            self._assign_project()

    # -- taking -------------------------------------------------------------------------

    def take(
        self, record: wire.Scalar | wire.Annotation, lane: LaneState | None, number: int
    ) -> None:
        """Takes a scalar or a changed description; taken once more, it changes nothing."""
        if isinstance(record, wire.Annotation):
            self._annotate(record)
        else:
            self.run.meta.scalars[record.key] = self._changed_scalars[record.key] = record.value
        self.run.meta_changed = True

    def _annotate(self, record: wire.Annotation) -> None:
        meta = self.run.meta
        match record.field, record.value:
            case "project", str() | None as project:
                meta.project = project
                self._assign_project()
            case "description", str() | None as description:
                meta.description = description
            case "tags" | "add_tags", list() as tags:
                kept = meta.tags or [] if record.field == "add_tags" else []
                meta.tags = list(dict.fromkeys((*kept, *tags))) or None
            case _:
                raise ValueError(f"{record.field} cannot be {record.value!r}")

    def _assign_project(self) -> None:
        """Names the run's project in experiment.yaml, where readers of expman-rs look for it."""
        try:
            set_experiment_project(os.path.dirname(self.run.run_dir), self.run.meta.project)
        except StorageError as exc:
            self.run.note(LogLevel.WARN, f"the project is in run.yaml only: {exc}")

    def _take_edits(self) -> None:
        """Takes what another process wants to have changed."""
        try:
            changes = self._edits.take()
        except StorageError as exc:
            self.run.note(LogLevel.WARN, str(exc))
            return
        for field, value in changes.items():
            setattr(self.run.meta, field, value)
            self.run.meta_changed = True

    def report_unreadable(self, problems: Sequence[str]) -> None:
        """Counts unreadable lanes, with the reason in run.log."""
        for problem in problems[self._unreadable_lanes :]:
            text = f"{problem}; how many rows it had is not known"
            self.run.note(LogLevel.ERROR, text)
        self._unreadable_lanes = len(problems)
        meta = self.run.meta
        meta.lanes_unreadable = max(meta.lanes_unreadable, self._unreadable_lanes)

    # -- writing ------------------------------------------------------------------------

    @property
    def is_urgent(self) -> bool:
        """True if the heartbeat is due."""
        return time.monotonic() >= self._schedule.next_heartbeat

    @property
    def has_pending(self) -> bool:
        """True if there is a change that can be written now."""
        store = self.run.store
        has_new_rows = store.rows_written + store.pending_rows != self._rows_shown
        is_behind = self._is_behind or has_new_rows
        is_due = time.monotonic() >= self._schedule.next_write
        return self.run.meta_changed or (is_behind and is_due) or self._edits.are_waiting

    def write(self, *, sync: bool) -> None:
        """Writes run.yaml, or the journal alone, or renews run.yaml's time."""
        now, run = time.monotonic(), self.run
        self._take_edits()
        is_small = len(run.meta.scalars) + len(run.store.latest) <= MANY_ENTRIES
        has_changed = run.meta_changed or self._is_behind
        if now >= self._schedule.next_write or (has_changed and is_small):
            self._write_run()
        elif run.meta_changed:
            self._write_journal()
        elif now >= self._schedule.next_heartbeat:
            self._beat()
        if sync:
            self._journal.sync()
            self._counts.update()

    def acknowledge(self, *, synced: bool) -> None:
        """Removes the changes that run.yaml has now."""
        if not self._is_behind:
            self._edits.remove_taken()

    def refresh(self) -> None:
        """Writes run.yaml now.

        Raises:
            StorageError: nothing is lost; call it again.
        """
        self._schedule.next_write = 0.0
        self.commit(sync=False)

    def leave_out(self, why: str) -> None:
        """Gives up what has changed since the last time."""
        self.run.meta_changed = False
        self._rows_shown = self.run.store.rows_written
        self._changed_scalars = {}
        self.run.note(LogLevel.ERROR, f"run.yaml could not be brought up to date: {why}")

    def _write_run(self) -> None:
        run, started = self.run, time.monotonic()
        self._fit()
        self._write_journal()
        if run.meta.status is not RunStatus.RUNNING:
            self._journal.sync()
        self._file.write(run.meta)
        self._is_behind, self._rows_shown = False, run.store.rows_written
        self._schedule.note_written(started)

    def _write_journal(self) -> None:
        meta, run = self.run.meta, self.run
        meta.artifacts_missing = max(meta.artifacts_missing, run.copier.missing)
        # Of a run that is recovered: its last sign of life, and not that of this writer. If this
        # one is killed, the next one would take its time for the run's end.
        meta.heartbeat_at = iso(run.last_sign.ended_at_ns())
        self._counts.update()
        most = max((state.consumer.control.high_water_bytes for state in run.lanes), default=0)
        meta.buffer_high_water_bytes = max(meta.buffer_high_water_bytes, most)
        self._journal.note(meta, self._changed_scalars)
        self._changed_scalars = {}
        run.meta_changed, self._is_behind = False, True

    def _beat(self) -> None:
        """Renews the times of run.yaml alone; one that takes long to express is not due yet."""
        now = time.monotonic()
        if now >= self._schedule.next_stamp:
            moment_ns = self.run.last_sign.ended_at_ns()
            if self._file.beat(iso(moment_ns)):
                self.run.last_sign.note(moment_ns)
                self._schedule.note_stamp(now)
                return
        try:
            os.utime(self._file.path, follow_symlinks=False)
        except OSError:
            self._write_run()
        self._schedule.note_heartbeat(time.monotonic())

    def _fit(self) -> None:
        """Leaves out what run.yaml has no room for, with one line in run.log."""
        meta = self.run.meta
        self.run.store.summarize(meta)
        yamlfile.leave_out(meta)
        for count, message in (
            (meta.scalars_left_out, "run.yaml has no room for all scalars; scalars.json has more"),
            (meta.vectors_left_out, "run.yaml has no room for the latest values of all metrics"),
            (meta.best_left_out, "run.yaml has no room for the best values of all metrics"),
        ):
            if count and message not in self._warned:
                self._warned.add(message)
                self.run.note(LogLevel.WARN, message)

    # -- the end ------------------------------------------------------------------------

    def settle(self) -> bool:
        """Counts for good: every lane was read to its end."""
        self._counts.are_final = True
        self._counts.update()
        return True

    def conclude(self, status: RunStatus, reason: str | None) -> None:
        """Sets the run's status, and adds the last lines to run.log. The next commit writes both.

        An earlier writer's status, and its lines, are left as they are.
        """
        run, meta = self.run, self.run.meta
        self._take_edits()
        if run.earlier is None:
            status, reason = meta.end_as(status, reason)
        lacks = list(self._what_is_missing())
        if run.earlier is None:
            reason = "; ".join([*([reason] if reason else []), *lacks]) or None
        if not meta.finished_at:
            meta.finished_at = iso(run.last_sign.ended_at_ns())
            meta.set_duration(self._duration_s())
            if run.earlier is None:
                self._report_end(status, reason, bool(lacks))
        meta.status, meta.reason = status, reason
        if meta.mirror is not None:  # run.yaml itself is one of them
            meta.mirror_behind = count_behind(run.run_dir)
        self._fit()
        self._schedule.next_write = 0.0

    def _report_end(self, status: RunStatus, reason: str | None, lacks: bool) -> None:
        run = self.run
        if run.meta.rows_missing:
            text = count_of(
                run.meta.rows_missing,
                "row was logged and is not in the files",
                "rows were logged and are not in the files",
            )
            run.note(LogLevel.ERROR, text)
        if reason:
            is_well = status is RunStatus.FINISHED and not lacks
            level = LogLevel.INFO if is_well else LogLevel.ERROR
            run.note(level, f"run {status}: {reason}")

    def _what_is_missing(self) -> Iterator[str]:
        meta = self.run.meta
        if meta.rows_missing:
            yield count_of(meta.rows_missing, "row is missing", "rows are missing")
        if meta.lanes_unreadable:
            lanes = count_of(meta.lanes_unreadable, "lane")
            yield f"{lanes} could not be read, with all rows in it"

    def _duration_s(self) -> float | None:
        """Seconds by the monotonic clock, if the run ends now on the machine as it was started."""
        hello, meta = self.run.hello, self.run.meta
        began = meta.attempt_started_at or meta.started_at
        if self.run.last_sign.owner_was_dead:
            return seconds_between(began, meta.finished_at)
        if hello.started_monotonic_ns and hello.host.boot_id == this_host("").boot_id:
            return round((time.monotonic_ns() - hello.started_monotonic_ns) / 1e9, 3)
        return seconds_between(began, meta.finished_at)

    def finish(self) -> None:
        """Removes the journal: run.yaml is final."""
        self._edits.remove_taken()
        self._journal.remove()

    def close(self) -> None:
        """Closes the journal."""
        self._journal.close()
