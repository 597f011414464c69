"""A run whose files are open: what its sinks share."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import msgspec

from expman.errors import StorageError
from expman.metadata import RunMetadata
from expman.models import LogLevel, RunStatus, reason_of
from expman.storage.journal import Journal, known_state, set_aside_damage
from expman.storage.paths import ATTEMPT_MARK
from expman.storage.runlog import format_line
from expman.storage.times import iso, since_epoch_ns
from expman.storage.vectors import VectorStore
from expman.transport.consumer import LaneConsumer
from expman.transport.hello import Hello
from expman.writer.copier import Copier
from expman.writer.lanes import LaneState, RunLanes
from expman.writer.whose import refuse_other_run

__all__ = ["LastSign", "Line", "OpenRun"]


class Line(msgspec.Struct):
    """Lines on their way to run.log or console.log.

    Attributes:
        lane: where they come from; None: from the writer itself.
        record: number of their record in the lane.
        text: as the file has them.
    """

    lane: LaneConsumer | None
    record: int
    text: str


class LastSign(msgspec.Struct):
    """The latest moment at which a run is known to have lived.

    Attributes:
        owner_was_dead: when this writer opened the run: no later sign comes.
        time_ns: nanoseconds since the Unix epoch.
    """

    owner_was_dead: bool
    time_ns: int = 0

    def note(self, time_ns: int) -> None:
        """Takes the time of a heartbeat or a record."""
        self.time_ns = max(self.time_ns, time_ns)

    def ended_at_ns(self) -> int:
        """End of the run: now, or its last sign of life if no writer watched it.

        A clock may have been set back: the end is never in the future.
        """
        now_ns = time.time_ns()
        return min(now_ns, self.time_ns) if self.owner_was_dead else now_ns


class OpenRun:
    """State that the sinks of one run share. No sink knows another one.

    Args:
        hello: the owner's, or that of a worker whose owner is gone.
        restarts: how many writers have served the run before this one.
        owner_was_dead: before this writer came.

    Attributes:
        run_dir: the run's directory.
        earlier: the status that an earlier writer gave the run, and its reason; None while it ran.
        last_sign: when the run is known to have lived.
        meta: what run.yaml will say.
        meta_changed: something in it has changed that the journal does not have.
        lanes: its lanes.
        store: its rows.
        copier: its artifacts.
        lines: lines on their way to run.log.

    Raises:
        StorageError: its directory cannot be used at present, or has the files of another run.
    """

    def __init__(self, hello: Hello, restarts: int, *, owner_was_dead: bool = False) -> None:
        self.hello = hello
        self.run_dir = hello.run_dir
        refuse_other_run(self.run_dir, hello)
        self.lanes = RunLanes()
        self.store = VectorStore(self.run_dir)
        self.lines: list[Line] = []
        self.copier = Copier(self.run_dir, self.store.directory.is_in_place)
        damage = set_aside_damage(self.run_dir)
        noted = Journal(self.run_dir).read()
        self.meta = (
            noted
            or known_state(self.run_dir)
            or RunMetadata(name=hello.run_name, experiment=hello.experiment)
        )
        self.earlier = self._earlier_status()
        self.last_sign = LastSign(owner_was_dead, hello.started_at_ns)
        self.last_sign.note(since_epoch_ns(self.meta.heartbeat_at))
        self.meta_changed = False
        self._begin(restarts, is_new=noted is None)
        if damage is not None:
            self.note(LogLevel.ERROR, damage)

    def _earlier_status(self) -> tuple[RunStatus, str | None] | None:
        meta = self.meta
        return None if meta.status is RunStatus.RUNNING else (meta.status, meta.reason)

    def _begin(self, restarts: int, *, is_new: bool) -> None:
        meta, hello = self.meta, self.hello
        meta.started_at = meta.started_at or iso(hello.started_at_ns)
        if self.earlier is None:  # a writer that is killed leaves an ended run as it was
            meta.status, meta.finished_at = RunStatus.RUNNING, None
            if is_new and hello.attempt == 1:  # nobody has changed them since the start
                meta.description, meta.tags = hello.description, list(hello.tags) or None
                meta.project = hello.project
            elif is_new:  # what a later attempt leaves out stays
                meta.description = hello.description or meta.description
                meta.tags = list(dict.fromkeys([*(meta.tags or ()), *hello.tags])) or None
                meta.project = hello.project or meta.project
        meta.mirror = None if hello.mirror is None else hello.mirror.partition("?")[0]
        meta.language, meta.env_path = hello.language, hello.env_path
        meta.group, meta.rank, meta.host = hello.group, hello.rank, hello.host
        meta.writer_restarts = max(meta.writer_restarts, restarts)

    def check_attempt(self) -> None:
        """Makes sure that no later attempt has begun, on another host that thought us dead.

        Raises:
            StorageError: nothing of this attempt may be written any more.
        """
        later = self.hello.attempt + 1
        path = os.path.join(self.run_dir, f"{ATTEMPT_MARK}{later}")
        if os.path.lexists(path):
            why = f"attempt {later} of the run has begun; nothing of attempt {later - 1} is written"
            raise StorageError(path, why)

    def note(self, level: LogLevel, message: str) -> None:
        """Adds a line of the writer's own to run.log."""
        self.lines.append(Line(None, 0, format_line(level, time.time_ns(), message)))

    def take_warnings(self, store: VectorStore | None = None) -> None:
        """Moves the warnings of a table to run.log; of the rows if it is left out."""
        for warning in (store or self.store).take_warnings():
            self.note(LogLevel.WARN, warning)

    @contextlib.contextmanager
    def sparing(self, lane: LaneState | None, what: str) -> Iterator[None]:
        """Leaves out what cannot be taken, with a line in run.log; it costs nothing else."""
        try:
            yield
        except MemoryError:
            raise  # it may well be taken later: the run begins anew from shared memory
        except Exception as exc:  # noqa: BLE001 - whatever it is, it costs this record only
            source = "the writer" if lane is None else lane.producer
            why = reason_of(exc)
            self.note(LogLevel.ERROR, f"{what} of {source} could not be read, left out: {why}")

    def close(self) -> None:
        """Gives up the open files without writing anything."""
        self.copier.stop()
        self.store.close()
