"""From the records of a run's lanes to its files."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec

from expman.errors import StorageError
from expman.faults import reach
from expman.models import LogLevel, MetricValue, RunMetadata, RunStatus
from expman.storage import artifacts, yamlfile
from expman.storage.runlog import RunLog
from expman.storage.times import iso, seconds_between
from expman.storage.vectors import RowBlock, VectorStore
from expman.transport import layout
from expman.transport import records as wire
from expman.transport.consumer import LaneConsumer, Stretch
from expman.transport.hello import Hello
from expman.transport.identity import this_host
from expman.transport.packed import Rows
from expman.writer.consolidation import Consolidation
from expman.writer.counts import Counts

__all__ = ["LaneFiles", "RunFiles"]

SHARE = 0.02
"""Share of a core that commits may take, unless rows are many, and that run.yaml may take."""
METADATA_SPACING_S = 1.0
HEARTBEAT_S = 30.0
"""run.yaml is renewed this often at least. `stale` takes a run for dead only if it is not."""
SYNC_SPACING_S = 5.0
COMMIT_SPACING_S = 0.05
MANY_ROWS = 64 * 1024
"""A commit costs the same for one row as for some thousands: they are spaced unless many wait."""
RANK_COLUMN = "_rank"
_get_step, _get_time = attrgetter("step"), attrgetter("logged_at_ns")
_get_values, _get_schema = attrgetter("values"), attrgetter("schema")


class _Line(msgspec.Struct):
    lane: LaneConsumer | None
    record: int
    level: LogLevel
    logged_at_ns: int
    message: str


class LaneFiles(msgspec.Struct):
    """What the files of a run need to know of one of its lanes.

    Attributes:
        lane: the lane.
        producer: the name that its rows carry.
        seq_base: seq of the lane's row 0.
        last_step: the step of the latest row that has one.
        drops_said: dropped rows that run.log tells of.
    """

    lane: LaneConsumer
    producer: str
    seq_base: int
    last_step: int | None = None
    drops_said: int = 0


class RunFiles:
    """Writes one run. Every method that touches files may raise StorageError and be retried.

    Attributes:
        wants_sync: somebody waits until everything is durable.
        consolidation: brings the tail into vectors.parquet.
    """

    def __init__(self, hello: Hello, run_dir: str, restarts: int) -> None:
        self.run_dir = run_dir
        self.lanes: dict[int, LaneFiles] = {}
        self.sentinel: wire.Sentinel | None = None
        self.wants_sync = False
        self._hello = hello
        self._store = VectorStore(self.run_dir)
        self.consolidation = Consolidation(self._store)
        self._log = RunLog(self.run_dir)
        self._file = yamlfile.RunFile(self.run_dir)
        self._meta = self._first_metadata(restarts)
        self._log.create()
        self._schemas: dict[tuple[int, int], tuple[str, ...]] = {}
        self._lines: list[_Line] = []
        self._params: dict[str, object] = {}
        self._artifacts: list[wire.Artifact] = []
        self._flushes: dict[int, int] = {}
        self._counts = Counts(self._meta, ended=self.earlier is not None)
        self._is_drained = False
        self._commit_cost_s = 0.0
        self._scalars_dirty = False
        now = time.monotonic()
        self._next_metadata = self._next_heartbeat = now
        self._last_flush = self._last_sync = now

    def _first_metadata(self, restarts: int) -> RunMetadata:
        try:
            meta = self._file.read()
        except StorageError:
            meta = RunMetadata(name=self._hello.run_name, experiment=self._hello.experiment)
        if meta.started_at is None:
            meta.started_at = iso(self._hello.started_at_ns)
        self.earlier = None if meta.status is RunStatus.RUNNING else (meta.status, meta.reason)
        """The status that an earlier writer gave the run, and its reason."""
        hello = self._hello
        meta.status, meta.finished_at = RunStatus.RUNNING, None
        meta.description, meta.tags = hello.description, list(hello.tags) or None
        meta.language, meta.env_path = hello.language, hello.env_path
        meta.group, meta.rank, meta.host = hello.group, hello.rank, hello.host
        meta.writer_restarts = max(meta.writer_restarts, restarts)
        yamlfile.create_experiment(os.path.dirname(self.run_dir))
        return meta

    # -- taking records ---------------------------------------------------------------

    def add_lane(self, lane: LaneConsumer) -> None:
        """Takes a lane; completes or undoes what a killed predecessor was doing."""
        if lane.words[layout.RUN_ENDED]:  # retired, but not quite removed
            self._count_retired(lane)
            return
        if lane.words[layout.LOG_INTENT] > lane.words[layout.LOG_DONE]:
            self._log.truncate(lane.words[layout.LOG_SIZE])
            # Once: another lane's lines may come before the ones that were cut off.
            lane.words[layout.LOG_INTENT] = lane.words[layout.LOG_DONE]
        self._adopt(lane)
        name = lane.hello.producer_name(lane.words[layout.NAME_NUMBER])
        self.lanes[lane.lane] = LaneFiles(lane, name, lane.words[layout.SEQ_BASE])
        if lane.hello.role == "owner":
            self._counts.retired_rows = lane.words[layout.RETIRED_ROWS]
            self._counts.retired_drops = lane.words[layout.RETIRED_DROPS]

    def _adopt(self, lane: LaneConsumer) -> None:
        """Gives the lane's producer a name that no other living one has, once and for all.

        A producer whose name was used before, the DataLoader worker 0 of the next epoch, goes on
        with the next seq. The words are stored before any row of the lane is in a file, and
        ADOPTED after them, so that every later writer reads the same ones.
        """
        if lane.words[layout.ADOPTED]:
            return
        taken = {known.producer for known in self.lanes.values()}
        number = 0
        while lane.hello.producer_name(number) in taken:
            number += 1
        lane.words[layout.NAME_NUMBER] = number
        lane.words[layout.SEQ_BASE] = self._store.next_seq(lane.hello.producer_name(number))
        reach("adopt-before-mark")
        lane.words[layout.ADOPTED] = 1

    def retire(self, lane: LaneConsumer) -> None:
        """Forgets a worker's lane whose records are written; its counts are kept.

        The new totals go into the worker's lane first, then the word that makes them count: a
        successor that finds the lane once more takes them over, and adds nothing to them.
        """
        mine = self.lanes[lane.lane]
        self._note_drops(mine, lane.dropped_rows - mine.drops_said)
        lane.words[layout.RETIRED_ROWS] = self._counts.retired_rows + lane.logged_rows
        lane.words[layout.RETIRED_DROPS] = self._counts.retired_drops + lane.dropped_rows
        lane.words[layout.RUN_ENDED] = 1
        reach("retire-before-count")
        self._count_retired(lane)
        self._flushes.pop(lane.lane, None)
        self.lanes.pop(lane.lane, None)
        self._schemas = {key: keys for key, keys in self._schemas.items() if key[0] != lane.lane}

    def _count_retired(self, lane: LaneConsumer) -> None:
        counts = self._counts
        counts.retired_rows = max(counts.retired_rows, lane.words[layout.RETIRED_ROWS])
        counts.retired_drops = max(counts.retired_drops, lane.words[layout.RETIRED_DROPS])
        for known in self.lanes.values():
            if known.lane.hello.role == "owner":
                known.lane.words[layout.RETIRED_ROWS] = counts.retired_rows
                known.lane.words[layout.RETIRED_DROPS] = counts.retired_drops

    def take(self, lane: LaneConsumer, stretch: Stretch) -> None:
        """Takes records into memory."""
        for problem in stretch.problems:
            self.note(LogLevel.ERROR, f"unreadable shared memory: {problem}")
        records = stretch.records
        if not records:
            return
        row = stretch.first_row
        number = stretch.first_record
        for kind, group in groupby(records, type):
            several: list[Any] = list(group)
            if kind is Rows:
                for rows in several:
                    self._take_columns(
                        lane, rows.schema, rows.steps, rows.logged_at_ns, rows.columns, row
                    )
                    row += rows.count
                    number += rows.count
                continue
            if kind is wire.Vector:
                self._take_vectors(lane, several, row)
                row += len(several)
            else:
                for offset, record in enumerate(several):
                    self._take_other(lane, record, number + offset)
                    row += record.rows if isinstance(record, wire.Drop) else 0
            number += len(several)

    def _take_vectors(self, lane: LaneConsumer, rows: list[wire.Vector], first: int) -> None:
        for schema, group in groupby(rows, _get_schema):
            same = list(group)
            steps, times = list(map(_get_step, same)), list(map(_get_time, same))
            try:
                columns = list(zip(*map(_get_values, same), strict=True))
            except ValueError:
                columns = None
            self._take_columns(lane, schema, steps, times, columns, first)
            first += len(same)

    def _take_columns(
        self,
        lane: LaneConsumer,
        schema: int,
        steps: Sequence[int | None],
        times: Sequence[int],
        columns: Sequence[Sequence[MetricValue]] | None,
        first: int,
    ) -> None:
        known, count = self.lanes[lane.lane], len(steps)
        keys = self._schemas.get((lane.lane, schema))
        if keys is None:
            self.note(LogLevel.ERROR, f"{count} rows of {known.producer} name no metrics")
            return
        if columns is None or len(keys) != len(columns):
            self.note(LogLevel.ERROR, f"{count} rows of {known.producer} are damaged")
            return
        rank = lane.hello.rank
        if rank is not None:
            keys, columns = (*keys, RANK_COLUMN), [*columns, [rank.rank] * count]
        seq = known.seq_base + first
        self._store.append(RowBlock(known.producer, seq, steps, times, keys, columns))
        last = next((step for step in reversed(steps) if step is not None), None)
        known.last_step = known.last_step if last is None else last

    def _take_other(self, lane: LaneConsumer, record: wire.Record, number: int) -> None:
        match record:
            case wire.Schema():
                self._schemas[lane.lane, record.schema] = record.keys
            case wire.Scalar():
                self._meta.scalars[record.key] = record.value
                self._scalars_dirty = True
            case wire.Params():
                self._params.update(record.params)
            case wire.Log() if number >= lane.words[layout.LOG_DONE]:
                self._lines.append(
                    _Line(lane, number, record.level, record.logged_at_ns, record.message)
                )
            case wire.Artifact():
                self._artifacts.append(record)
            case wire.Flush():
                self._flushes[lane.lane] = record.number
                self.wants_sync = True
            case wire.Sentinel():
                if lane.hello.role == "owner":
                    self.sentinel = record
            case wire.Drop():
                self._note_drops(self.lanes[lane.lane], record.rows)
            case _:
                return

    def _note_drops(self, known: LaneFiles, rows: int) -> None:
        if rows > 0:
            known.drops_said += rows
            whose = "" if known.lane.hello.role == "owner" else f" of {known.producer}"
            self.note(LogLevel.WARN, f"{rows} rows{whose} dropped: the buffer was full")

    def note_last_drops(self) -> None:
        """Tells of rows that a producer dropped last, before it died or the run ended."""
        for known in self.lanes.values():
            self._note_drops(known, known.lane.dropped_rows - known.drops_said)

    def note(self, level: LogLevel, message: str) -> None:
        """A line of our own for run.log."""
        self._lines.append(_Line(None, 0, level, time.time_ns(), message))

    # -- writing -------------------------------------------------------------------------

    def is_due(self) -> bool:
        """Whether there is something to write by now."""
        if self.wants_sync or any(known.lane.is_pressed() for known in self.lanes.values()):
            return True
        now = time.monotonic()
        if now >= self._next_heartbeat:
            return True
        age_s = now - self._last_flush
        waiting = self._store.pending_rows
        spacing_s = max(COMMIT_SPACING_S, self._commit_cost_s / SHARE)
        if waiting >= self._hello.flush_interval_rows and (
            age_s >= spacing_s or waiting >= MANY_ROWS
        ):
            return True
        # A successor may take a whole lane of rows that are in the files already: they leave
        # nothing to write, and their memory is to be given back all the same.
        return age_s * 1000 >= self._hello.flush_interval_ms and bool(
            waiting
            or self._lines
            or self._params
            or self._artifacts
            or self._scalars_dirty
            or any(known.lane.has_read_terms for known in self.lanes.values())
        )

    def commit(self, *, sync: bool = False) -> None:
        """Writes everything taken so far, then gives its shared memory back.

        Raises:
            StorageError: nothing is lost; call it again.
        """
        now = time.monotonic()
        sync = sync or self.wants_sync or now - self._last_sync > SYNC_SPACING_S
        self._store.flush(sync=sync)  # first: an artifact that cannot be copied holds up no row
        self._copy_artifacts()
        for warning in self._store.take_warnings():
            self.note(LogLevel.WARN, warning)
        self._write_lines()
        if sync:
            self._log.sync()
        if self._params:
            problem = yamlfile.merge_params(self.run_dir, self._params)
            self._params = {}
            if problem is not None:
                self.note(LogLevel.WARN, problem)
        if self._scalars_dirty or now >= self._next_metadata:
            self.write_metadata()
        elif now >= self._next_heartbeat:
            self._beat()
        reach("commit-before-release")
        for known in self.lanes.values():
            lane = known.lane
            lane.release()
            lane.words[layout.WRITTEN_ROWS] = lane.rows
            if sync:
                if known.last_step is not None:
                    lane.words[layout.DURABLE_STEP] = known.last_step % 2**64
                    lane.words[layout.HAS_STEP] = 1
                lane.words[layout.DURABLE_ROWS] = lane.rows
        if sync:
            for number, mark in self._flushes.items():
                self.lanes[number].lane.words[layout.FLUSHED] = mark
            self._flushes.clear()
            self.wants_sync = False
            self._last_sync = now
        self._last_flush = time.monotonic()
        self._commit_cost_s = self._last_flush - now

    def _write_lines(self) -> None:
        """Appends to run.log, each lane's lines once even if we are killed in between."""
        for lane, group in groupby(self._lines[:], lambda line: line.lane):
            lines = list(group)
            if lane is not None:
                lane.words[layout.LOG_SIZE] = self._log.size()
                lane.words[layout.LOG_INTENT] = lines[-1].record + 1
            self._log.append([(line.level, line.logged_at_ns, line.message) for line in lines])
            if lane is not None:
                lane.words[layout.LOG_DONE] = lines[-1].record + 1
            del self._lines[: len(lines)]

    def _copy_artifacts(self) -> None:
        while self._artifacts:
            artifact = self._artifacts[0]
            source = artifact.staged or artifact.source
            try:
                warnings = artifacts.store(source, self.run_dir, artifact.target)
            except StorageError as exc:
                if artifacts.is_there(source):
                    raise  # the run's side of it: try again
                self.note(LogLevel.ERROR, f"artifact {artifact.source}: {exc}")
            except ValueError as exc:  # no name that the engine lets through: damage
                self.note(LogLevel.ERROR, f"artifact was left out: {exc}")
            else:
                for warning in warnings:
                    self.note(LogLevel.WARN, warning)
            self._artifacts.pop(0)

    def _beat(self) -> None:
        """Renews run.yaml's time alone; a run.yaml that takes long to write is not due yet."""
        try:
            os.utime(self._file.path, follow_symlinks=False)
        except OSError:
            self.write_metadata()
        self._next_heartbeat = time.monotonic() + HEARTBEAT_S

    def write_metadata(self) -> None:
        """Refreshes run.yaml."""
        meta, started = self._meta, time.monotonic()
        meta.heartbeat_at = iso(time.time_ns())
        meta.vectors = {k: v for k, v in self._store.latest.items() if k != RANK_COLUMN}
        lanes = [known.lane for known in self.lanes.values()]
        self._count()
        high_water = max((lane.words[layout.HIGH_WATER] for lane in lanes), default=0)
        meta.buffer_high_water_bytes = max(meta.buffer_high_water_bytes, high_water)
        self._file.write(meta)
        self._scalars_dirty = False
        cost_s = time.monotonic() - started
        self._next_metadata = started + max(METADATA_SPACING_S, cost_s / SHARE)
        self._next_heartbeat = started + HEARTBEAT_S

    def close(self) -> None:
        """Gives up the open files without writing anything."""
        self._store.close()
        self._log.close()

    def finish(self, status: RunStatus, reason: str | None) -> None:
        """Makes the files final and durable.

        Raises:
            StorageError: nothing is lost; call it again.
        """
        self.consolidation.stop()
        self.note_last_drops()
        self.commit(sync=True)
        self._store.finish()
        self._is_drained = True
        self._count()
        artifacts.remove_staging(self.run_dir)
        for warning in self._store.take_warnings():
            self.note(LogLevel.WARN, warning)
        meta = self._meta
        if meta.rows_missing and self.earlier is None:
            missing = f"{meta.rows_missing:,} rows are missing"
            reason = f"{reason}; {missing}" if reason else missing
        if not meta.finished_at:
            meta.finished_at = iso(time.time_ns())
            meta.duration_secs = self._duration()
            if meta.rows_missing and self.earlier is None:
                text = f"{meta.rows_missing} rows were logged and are not in the files"
                self.note(LogLevel.ERROR, text)
            if reason and self.earlier is None:
                fine = status is RunStatus.FINISHED and not meta.rows_missing
                level = LogLevel.INFO if fine else LogLevel.ERROR
                self.note(level, f"run {status}: {reason}")
        meta.status, meta.reason = status, reason
        self._write_lines()
        self._log.sync()
        reach("finish-before-status")
        self.write_metadata()
        self._store.close()

    def _count(self) -> None:
        store = self._store
        self._counts.update(
            [(known.producer, known.seq_base, known.lane) for known in self.lanes.values()],
            store.reach,
            store.rows_written,
            store.pending_rows,
            final=self._is_drained,
        )

    def _duration(self) -> float | None:
        """Seconds by the clock that nobody sets, if this is still the boot that began the run."""
        hello = self._hello
        if hello.started_monotonic_ns and hello.host.boot_id == this_host("").boot_id:
            return round((time.monotonic_ns() - hello.started_monotonic_ns) / 1e9, 3)
        return seconds_between(self._meta.started_at, self._meta.finished_at)
