"""From the records of a run's lanes to its files."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec

from expman.errors import StorageError
from expman.failpoints import hit
from expman.models import LogLevel, MetricValue, RunMetadata, RunStatus, reason_of
from expman.storage import yamlfile
from expman.storage.journal import Journal, known_state, set_aside_damage
from expman.storage.paths import remove_stale_temps
from expman.storage.times import iso, seconds_between
from expman.storage.vectors import RowBlock, VectorStore
from expman.transport import records as wire
from expman.transport.bulk_decode import Rows
from expman.transport.consumer import LaneConsumer, Stretch
from expman.transport.hello import Hello
from expman.transport.identity import this_host
from expman.transport.numbering import LARGEST_COUNT
from expman.writer.consolidation import Consolidation
from expman.writer.copier import Copier, Outcome, missing_line
from expman.writer.counts import Counts
from expman.writer.lines import Lines
from expman.writer.part import TRIES, Part
from expman.writer.whose import refuse_other_run

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
MANY_ENTRIES = 1000
"""With more scalars and metrics, run.yaml is not written for each change: the journal has it."""
MANY_SCHEMAS = 256
RANK_COLUMN = "_rank"
_get_step, _get_time = attrgetter("step"), attrgetter("logged_at_ns")
_get_values, _get_schema = attrgetter("values"), attrgetter("schema")


class _FlushMark(msgspec.Struct):
    """A flush that a producer waits for.

    Attributes:
        number: its number.
        artifacts: it waits for so many of the run's artifacts, see `Copier.mark`.
        synced: everything else before it is durable.
    """

    number: int
    artifacts: int
    synced: bool = False


class LaneFiles(msgspec.Struct):
    """What the files of a run need to know of one of its lanes.

    Attributes:
        lane: the lane.
        producer: the name that its rows carry.
        seq_base: seq of the lane's row 0.
        schemas: metric names by their number, as the lane has defined them.
        term: the term that was read last.
        last_step: the step of the latest row that has one.
        drops_said: dropped rows that run.log tells of.
    """

    lane: LaneConsumer
    producer: str
    seq_base: int
    schemas: dict[int, tuple[str, ...]] = {}
    term: int = 0
    last_step: int | None = None
    drops_said: int = 0


class RunFiles:
    """Writes one run. Every method that touches files may raise StorageError and be retried.

    Attributes:
        wants_sync: somebody waits until everything is durable.
        consolidation: brings the tail into vectors.parquet.
        copier: stores artifacts.
    """

    def __init__(self, hello: Hello, run_dir: str, restarts: int) -> None:
        self.run_dir = run_dir
        self.lanes: dict[int, LaneFiles] = {}
        self.sentinel: wire.Sentinel | None = None
        self.wants_sync = False
        self._hello = hello
        refuse_other_run(run_dir, hello)
        self._store = VectorStore(self.run_dir)
        self.consolidation = Consolidation(self._store)
        self._lines = Lines(self.run_dir)
        self.copier = Copier(self.run_dir, self._store.directory.is_in_place)
        self._file = yamlfile.RunFile(self.run_dir)
        self._journal = Journal(self.run_dir)
        damage = set_aside_damage(self.run_dir)
        self._meta = self._first_metadata(restarts)
        self._lines.create()
        self._params: dict[str, object] = {}
        self._flushes: dict[int, _FlushMark] = {}
        self._missing: list[Outcome] = []  # said, and not yet remembered in a file
        self._counts = Counts(self._meta, ended=self.earlier is not None)
        self._said: set[str] = set()
        self._unreadable = 0
        self._is_drained = False
        self._commit_cost_s = 0.0
        self._finish_failures = 0
        self._finishing: Iterator[None] | None = None
        self._scalars_dirty = False
        self._changed_scalars: dict[str, MetricValue] = {}
        self._is_stale = False  # run.yaml; the journal has what it has not
        self._has_new_rows = False  # the store, since run.yaml was written
        now = time.monotonic()
        self._next_metadata = self._next_heartbeat = now
        self._write_log = Part("run.log", self._lines.write, self._lines.leave_out)
        self._write_config = Part("config.yaml", self._merge_params, self._leave_out_params)
        self._write_run = Part("run.yaml", self._write_meta, self._leave_out_meta)
        self._write_state = Part("the journal", self._note_state, self._leave_out_meta)
        self._last_flush = self._last_sync = now
        if damage is not None:
            self.note(LogLevel.ERROR, damage)

    def _first_metadata(self, restarts: int) -> RunMetadata:
        meta = known_state(self.run_dir)
        if meta is None:
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
        if lane.control.run_ended:  # retired, but not quite removed
            self._count_retired(lane)
            return
        self._lines.adopt(lane)
        self._adopt(lane)
        name = lane.hello.producer_name(lane.control.name_number)
        self.lanes[lane.lane] = LaneFiles(lane, name, lane.control.seq_base)
        if lane.hello.role == "owner":
            self._counts.retired_rows = lane.control.retired_rows
            self._counts.retired_drops = lane.control.retired_drops

    def _adopt(self, lane: LaneConsumer) -> None:
        """Gives the lane's producer a name that no other living one has, once and for all.

        A producer whose name was used before, the DataLoader worker 0 of the next epoch, goes on
        with the next seq. The words are stored before any row of the lane is in a file, and
        ADOPTED after them, so that every later writer reads the same ones.
        """
        if lane.control.adopted:
            return
        taken = {known.producer for known in self.lanes.values()}
        number = 0
        while lane.hello.producer_name(number) in taken:
            number += 1
        lane.control.name_number = number
        lane.control.seq_base = self._store.next_seq(lane.hello.producer_name(number))
        hit("adopt-before-mark")
        lane.control.adopted = True

    def retire(self, lane: LaneConsumer) -> None:
        """Forgets a worker's lane whose records are written; its counts are kept.

        The new totals go into the worker's lane first, then the word that makes them count: a
        successor that finds the lane once more takes them over, and adds nothing to them.
        """
        mine = self.lanes[lane.lane]
        self._note_drops(mine, lane.dropped_rows - mine.drops_said)
        lane.control.retired_rows = self._counts.retired_rows + lane.logged_rows
        lane.control.retired_drops = self._counts.retired_drops + lane.dropped_rows
        lane.control.run_ended = True
        hit("retire-before-count")
        self._count_retired(lane)
        self._flushes.pop(lane.lane, None)
        self.lanes.pop(lane.lane, None)

    def _count_retired(self, lane: LaneConsumer) -> None:
        counts = self._counts
        counts.retired_rows = max(counts.retired_rows, lane.control.retired_rows)
        counts.retired_drops = max(counts.retired_drops, lane.control.retired_drops)
        for known in self.lanes.values():
            if known.lane.hello.role == "owner":
                known.lane.control.retired_rows = counts.retired_rows
                known.lane.control.retired_drops = counts.retired_drops

    def take(self, lane: LaneConsumer, stretch: Stretch) -> None:
        """Takes records into memory; one that cannot be taken costs no other."""
        self._forget_schemas(self.lanes[lane.lane], stretch.term)
        for problem in stretch.problems:
            self.note(LogLevel.ERROR, f"unreadable shared memory: {problem}")
        row = stretch.first_row
        number = stretch.first_record
        for kind, group in groupby(stretch.records, type):
            several: list[Any] = list(group)
            if kind is Rows:
                for rows in several:
                    columns = (rows.schema, rows.steps, rows.logged_at_ns, rows.columns)
                    with self._sparing(lane, f"{rows.count} rows"):
                        self._take_columns(lane, *columns, row)
                    row += rows.count
                    number += rows.count
                continue
            if kind is wire.Vector:
                self._take_vectors(lane, several, row)
                row += len(several)
            else:
                for offset, record in enumerate(several):
                    with self._sparing(lane, f"a record ({kind.__name__})"):
                        self._take_other(lane, record, number + offset)
                    row += record.rows if isinstance(record, wire.Drop) else 0
            number += len(several)

    def _forget_schemas(self, known: LaneFiles, term: int) -> None:
        """Forgets many names at a term's begin: each term defines those that it uses anew.

        Few are kept: where the definition itself is damaged, an earlier one serves.
        """
        if term != known.term and len(known.schemas) > MANY_SCHEMAS:
            known.schemas = {}
        known.term = term

    @contextlib.contextmanager
    def _sparing(self, lane: LaneConsumer, what: str) -> Iterator[None]:
        """Leaves out what cannot be taken, and has run.log say so."""
        try:
            yield
        except MemoryError:
            raise  # it may well be taken later: the run begins anew from shared memory
        except Exception as exc:  # noqa: BLE001 - whatever it is, it costs this record only
            whose = self.lanes[lane.lane].producer
            why = reason_of(exc)
            self.note(LogLevel.ERROR, f"{what} of {whose} could not be read, left out: {why}")

    def _take_vectors(self, lane: LaneConsumer, rows: list[wire.Vector], first: int) -> None:
        for schema, group in groupby(rows, _get_schema):
            same = list(group)
            try:
                self._take_same(lane, schema, same, first)
            except MemoryError:
                raise
            except Exception:  # noqa: BLE001 - one of them; none is taken twice
                for offset, row in enumerate(same):
                    with self._sparing(lane, "a row"):
                        self._take_same(lane, schema, [row], first + offset)
            first += len(same)

    def _take_same(
        self, lane: LaneConsumer, schema: int, rows: list[wire.Vector], first: int
    ) -> None:
        steps, times = list(map(_get_step, rows)), list(map(_get_time, rows))
        try:
            columns = list(zip(*map(_get_values, rows), strict=True))
        except ValueError:
            columns = None
        self._take_columns(lane, schema, steps, times, columns, first)

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
        keys = known.schemas.get(schema)
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
                self.lanes[lane.lane].schemas[record.schema] = record.keys
            case wire.Scalar():
                self._meta.scalars[record.key] = record.value
                self._changed_scalars[record.key] = record.value
                self._scalars_dirty = True
            case wire.Params():
                self._params.update(record.params)
            case wire.Log():
                self._lines.take(lane, record, number)
            case wire.Artifact() if number >= lane.control.artifacts_kept:
                self.copier.take(lane.lane, number, record)
            case wire.Flush():
                self._flushes[lane.lane] = _FlushMark(record.number, self.copier.mark)
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
            if laneless := known.lane.laneless_drops:
                text = "rows of workers dropped: they had no descriptor or no memory for a lane"
                self.note(LogLevel.WARN, f"{laneless} {text}")

    def note_unreadable(self, problems: Sequence[str]) -> None:
        """Counts lanes of the run that cannot be read, and has run.log say why."""
        for problem in problems[self._unreadable :]:
            self.note(LogLevel.ERROR, f"{problem}; how many rows it had is not known")
        self._unreadable = len(problems)
        self._meta.lanes_unreadable = max(self._meta.lanes_unreadable, self._unreadable)

    def note(self, level: LogLevel, message: str) -> None:
        """A line of our own for run.log."""
        self._lines.note(level, message)

    # -- writing -------------------------------------------------------------------------

    def is_due(self) -> bool:
        """Whether there is something to write by now."""
        if self.wants_sync or (self._flushes and self.copier.is_due):
            return True
        if any(known.lane.is_pressed() for known in self.lanes.values()):
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
            or self.copier.is_due
            or self._scalars_dirty
            or ((self._is_stale or self._has_new_rows) and now >= self._next_metadata)
            or any(known.lane.has_read_terms for known in self.lanes.values())
        )

    def commit(self, *, sync: bool = False) -> None:
        """Writes everything taken so far, then gives its shared memory back.

        Each part is tried, whatever became of those before it, if only the directory is there.

        Raises:
            StorageError: the first trouble. Nothing is lost; call it again.
        """
        now = time.monotonic()
        sync = sync or self.wants_sync or now - self._last_sync > SYNC_SPACING_S
        self._store.check_directory()
        trouble: list[StorageError] = []
        for write in self._parts(sync, now):
            try:
                write()
            except StorageError as exc:
                trouble.append(exc)
        if trouble:
            raise trouble[0]
        hit("commit-before-release")
        for known in self.lanes.values():
            self._release(known, sync)
        if sync:
            self._count()
            for mark in self._flushes.values():
                mark.synced = True
            self.wants_sync = False
            self._last_sync = now
        self.answer_flushes()
        self._last_flush = time.monotonic()
        self._commit_cost_s = self._last_flush - now

    def _parts(self, sync: bool, now: float) -> Iterator[Callable[[], None]]:
        self._has_new_rows |= self._store.pending_rows > 0
        yield lambda: self._store.flush(sync=sync)
        yield self._keep_artifacts
        yield self._settle_artifacts
        for warning in self._store.take_warnings():
            self.note(LogLevel.WARN, warning)
        if self._params:
            yield self._write_config
        yield self._write_log
        if sync:
            yield self._lines.sync
        small = len(self._meta.scalars) + len(self._store.latest) <= MANY_ENTRIES
        changed = self._scalars_dirty or self._is_stale
        if now >= self._next_metadata or (changed and small):
            yield self._write_run
        elif self._scalars_dirty:
            yield self._write_state
        elif now >= self._next_heartbeat:
            yield self._beat
        if sync:
            yield self._journal.sync

    def _release(self, known: LaneFiles, sync: bool) -> None:
        lane = known.lane
        lane.release()
        lane.control.written_rows = lane.rows
        if sync:
            if known.last_step is not None:
                lane.control.durable_step = known.last_step
            lane.control.durable_rows = lane.rows

    def answer_flushes(self) -> None:
        """Answers the flushes whose artifacts are stored, too, or known to be missing."""
        self.copier.start()
        for number, mark in list(self._flushes.items()):
            if mark.synced and self.copier.has_settled(mark.artifacts):
                self.lanes[number].lane.control.flushed = mark.number
                del self._flushes[number]

    @property
    def is_waiting(self) -> bool:
        """Whether a producer waits for artifacts."""
        return bool(self._flushes)

    # -- artifacts ---------------------------------------------------------------------

    def _keep_artifacts(self) -> None:
        for number, record in self.copier.keep().items():
            if number in self.lanes:
                self.lanes[number].lane.control.artifacts_kept = record

    def _settle_artifacts(self) -> None:
        """Says what became of artifacts: in run.log, in run.yaml and to who saved them."""
        for outcome in self.copier.outcomes():
            for warning in outcome.warnings:
                self.note(LogLevel.WARN, warning)
            if outcome.problem is not None:
                self._note_missing(outcome, outcome.problem)
        while self._missing:
            self.copier.note_missing(self._missing[0])
            del self._missing[0]

    def _note_missing(self, outcome: Outcome, problem: str) -> None:
        request = outcome.request
        self.note(LogLevel.ERROR, missing_line(request, problem))
        self._scalars_dirty = True
        known = self.lanes.get(request.lane)
        if known is None or known.lane.closed:  # nobody there hears of it: the owner does
            owners = (k for k in self.lanes.values() if k.lane.hello.role == "owner")
            known = next(owners, None)
        if known is not None:
            known.lane.add_missing(f"{request.target}: {problem}")
        self._missing.append(outcome)

    def give_up_artifacts(self, why: str) -> None:
        """Takes the artifacts that cannot be stored for missing, so that the run can end."""
        self.copier.give_up(why)

    # -- parameters and run.yaml ---------------------------------------------------------

    def _merge_params(self) -> None:
        problems = yamlfile.merge_params(self.run_dir, self._params)
        self._params = {}
        for problem in problems:
            self.note(LogLevel.WARN, problem)

    def _leave_out_params(self, why: str) -> None:
        names = ", ".join(list(self._params)[:20])
        self._params = {}
        self.note(LogLevel.ERROR, f"parameters were left out ({names}): {why}")

    def _leave_out_meta(self, why: str) -> None:
        self._scalars_dirty = self._has_new_rows = False
        self._changed_scalars = {}
        self.note(LogLevel.ERROR, f"run.yaml could not be brought up to date: {why}")

    def _beat(self) -> None:
        """Renews run.yaml's time alone; a run.yaml that takes long to write is not due yet."""
        try:
            os.utime(self._file.path, follow_symlinks=False)
        except OSError:
            self.write_metadata()
        self._next_heartbeat = time.monotonic() + HEARTBEAT_S

    def write_metadata(self) -> None:
        """Refreshes the journal, then run.yaml.

        Raises:
            StorageError: call it again.
        """
        self._write_run()

    def _write_meta(self) -> None:
        meta, started = self._meta, time.monotonic()
        self._say_what_is_left_out()
        self._note_state()
        if meta.status is not RunStatus.RUNNING:
            self._journal.sync()
        self._file.write(meta)
        self._is_stale = self._has_new_rows = False
        cost_s = time.monotonic() - started
        self._next_metadata = started + max(METADATA_SPACING_S, cost_s / SHARE)
        self._next_heartbeat = started + HEARTBEAT_S

    def _say_what_is_left_out(self) -> None:
        """Has run.log say, once, which values run.yaml has no room for."""
        meta = self._meta
        meta.vectors = {k: v for k, v in self._store.latest.items() if k != RANK_COLUMN}
        yamlfile.leave_out(meta)
        for count, message in (
            (meta.scalars_left_out, "run.yaml has no room for all scalars; scalars.json has more"),
            (meta.vectors_left_out, "run.yaml has no room for the latest values of all metrics"),
        ):
            if count and message not in self._said:
                self._said.add(message)
                self.note(LogLevel.WARN, message)

    def _note_state(self) -> None:
        """Brings the journal up to date; run.yaml follows when it is due."""
        meta = self._meta
        meta.artifacts_missing = max(meta.artifacts_missing, self.copier.missing)
        meta.heartbeat_at = iso(time.time_ns())
        self._count()
        lanes = [known.lane for known in self.lanes.values()]
        high_water = max((lane.control.high_water_bytes for lane in lanes), default=0)
        meta.buffer_high_water_bytes = max(meta.buffer_high_water_bytes, high_water)
        self._journal.note(meta, self._changed_scalars)
        self._changed_scalars = {}
        self._scalars_dirty = False
        self._is_stale = True

    def close(self) -> None:
        """Gives up the open files without writing anything."""
        self.copier.stop()
        self._store.close()
        self._lines.close()
        self._journal.close()

    def settle(self) -> bool:
        """Makes all durable but the status, a bit at a time: what comes before `finish`.

        Returns:
            False: call it again, when other runs had their turn.

        Raises:
            StorageError: nothing is lost; call it again.
        """
        if self._finishing is None:
            self.consolidation.stop()
            self.note_last_drops()
            self.commit(sync=True)
        if not self._finish_rows():
            return False
        self._is_drained = True
        self._count()
        for warning in self._store.take_warnings():
            self.note(LogLevel.WARN, warning)
        return True

    def finish(self, status: RunStatus, reason: str | None) -> None:
        """Makes the files final and durable.

        Raises:
            StorageError: nothing is lost; call it again.
        """
        meta = self._meta
        if self.earlier is None:
            reason = "; ".join([*([reason] if reason else []), *self._what_is_missing()]) or None
        if not meta.finished_at:
            meta.finished_at = iso(time.time_ns())
            meta.duration_secs = self._duration()
            if meta.rows_missing and self.earlier is None:
                text = f"{meta.rows_missing} rows were logged and are not in the files"
                self.note(LogLevel.ERROR, text)
            if reason and self.earlier is None:
                fine = status is RunStatus.FINISHED and not self._what_is_missing()
                level = LogLevel.INFO if fine else LogLevel.ERROR
                self.note(level, f"run {status}: {reason}")
        meta.status, meta.reason = status, reason
        self._say_what_is_left_out()
        self._write_log()
        self._lines.sync()
        hit("finish-before-status")
        self.write_metadata()
        self.copier.clean_up()
        with contextlib.suppress(OSError):
            remove_stale_temps(self.run_dir)
        self._journal.remove()
        self._store.close()

    def _what_is_missing(self) -> list[str]:
        meta, said = self._meta, []
        if meta.rows_missing:
            said.append(f"{meta.rows_missing:,} rows are missing")
        if meta.lanes_unreadable:
            said.append(f"{meta.lanes_unreadable} lanes could not be read, with all their rows")
        return said

    def _count(self) -> None:
        store = self._store
        self._counts.update(
            [(known.producer, known.seq_base, known.lane) for known in self.lanes.values()],
            store.reach,
            store.rows_written,
            store.pending_rows,
            final=self._is_drained,
        )
        for known in self.lanes.values():
            if known.lane.hello.role == "owner":
                known.lane.control.rows_missing = min(self._meta.rows_missing, LARGEST_COUNT)

    def _finish_rows(self) -> bool:
        """Brings every row into vectors.parquet; what never succeeds is left to the tail.

        Returns:
            False: there is more to do.
        """
        self._finishing = self._finishing or self._store.finishing()
        try:
            next(self._finishing)
        except StopIteration:
            self._finishing = None
        except StorageError as exc:
            self._finishing = None
            self._finish_failures += 1
            if isinstance(exc.__cause__, OSError) or self._finish_failures < TRIES:
                raise
            self.note(LogLevel.ERROR, f"rows stay in the live tail, where they are durable: {exc}")
        return self._finishing is None

    def _duration(self) -> float | None:
        """Seconds by the clock that nobody sets, if this is still the boot that began the run."""
        hello = self._hello
        if hello.started_monotonic_ns and hello.host.boot_id == this_host("").boot_id:
            return round((time.monotonic_ns() - hello.started_monotonic_ns) / 1e9, 3)
        return seconds_between(self._meta.started_at, self._meta.finished_at)
