"""LoggingEngine: one run, as the process that owns it sees it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, cast

from expman import notices, open_engines
from expman.capture.exit_status import (
    describe,
    describe_exit,
    note_interrupt,
    traceback_in_worker,
    traceback_of,
)
from expman.capture.program_end import ProgramEnd
from expman.capture.unasked import Unasked
from expman.capture.worker_end import WorkerEnd
from expman.durability import Durability
from expman.ended_run import NoLane
from expman.errors import ExpmanError, FlushError, RunClosedError, RunEndedError
from expman.late_imports import no_fork
from expman.losses import Losses
from expman.models import ExperimentConfig, LogLevel, RunStatus
from expman.record_calls import RecordCalls
from expman.shown import type_name
from expman.timeouts import seconds

if TYPE_CHECKING:  # what only a run needs is imported by its first engine
    from expman.launch.start import RunStart
    from expman.launch.supervisor import Supervisor
    from expman.status_lines import StatusLines
    from expman.transport.producer import LaneProducer

__all__ = ["LoggingEngine"]

DEFAULT_TIMEOUT_S = 60.0
_MAX_REASON = 4000


class LoggingEngine(RecordCalls):
    """Records one run. Starts the writer process and does not wait for it.

    Args:
        config: what to record, and where. `engine.config` has the run name that was taken.

    Raises:
        RunExistsError: the run_name that was asked for exists.
        StorageError: the base directory cannot be written.
        SharedMemoryError: no memory can be had for the records.
        ConfigError: no interpreter is known that can run the writer; see `config.python`.
        ExpmanError: the thread that watches the writer cannot be started.
    """

    _lines: StatusLines | None = None
    _unasked: Unasked | None = None

    def __init__(self, config: ExperimentConfig) -> None:
        from expman.launch.start import RunStart

        if not isinstance(config, ExperimentConfig):
            raise TypeError(
                f"LoggingEngine takes an ExperimentConfig, not {type_name(config)}: write "
                "LoggingEngine(ExperimentConfig(name)), or use expman.Experiment(name)"
            )
        self._end: ProgramEnd | None = None
        start = RunStart(config)
        try:
            start.make()
            self.config = start.config
            self._end = ProgramEnd()
            self._begin(start.lane, start.lane.lane, start.supervisor)
            open_engines.watch_os_exit()
            self._end.watch(self._close_at_exit, self._close_in_child)
            start.begin()
            if config.quiet is False and not start.config.rank:
                from expman.status_lines import StatusLines

                self._lines = StatusLines(self.run_dir)
            self._unasked = Unasked(self.config, start.lane, self.address)
            self._unasked.start()
        except BaseException as exc:
            self._take_back(start, exc)
            raise

    def _take_back(self, start: RunStart, exc: BaseException) -> None:
        """The constructor was interrupted: nothing stays, or a run that has ended."""
        if not start.call_off():  # it came between the last step and the return
            with contextlib.suppress(ExpmanError):
                self.close(RunStatus.FAILED, reason=describe(exc))
            return
        self._ended = True
        if self._end is not None:
            self._end.unwatch()
        if self._unasked is not None:
            self._unasked.stop_stacks()
        open_engines.discard(self)

    def _begin(
        self, lane: LaneProducer, owner_lane: int, supervisor: Supervisor | None = None
    ) -> None:
        self.run_dir = lane.run_dir
        self.address = f"{lane.address}#{owner_lane}"
        lane.log_vector.__doc__ = LoggingEngine.log_vector.__doc__
        self.log_vector = self.log = lane.log_vector  # type: ignore[method-assign]
        self._lane = lane
        lane.watch_end(WorkerEnd)
        self._durability = Durability(lane, supervisor)
        self._losses = Losses(lane)
        self._ended = False
        open_engines.add(self)

    @classmethod
    def _attach(cls, address: str) -> LoggingEngine:
        from expman.launch.join import join

        for engine in open_engines.at(address):
            if isinstance(engine, LoggingEngine) and not engine._ended:
                return engine
            if isinstance(engine, LoggingEngine) and engine._end is not None:
                raise RunEndedError(address)
        self = cls.__new__(cls)
        self.config, lane, owner_lane = join(address)
        self._end = None
        self._begin(lane, owner_lane)
        self._unasked = Unasked(self.config, lane)
        self._unasked.start()
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return LoggingEngine._unpickle, (self.address, self.run_dir, self.config)

    @classmethod
    def _unpickle(cls, address: str, run_dir: str, config: ExperimentConfig) -> LoggingEngine:
        """Joins the run. Where that cannot be done, logging will raise, and not the unpickling."""
        try:
            return cls._attach(address)
        except ExpmanError as exc:
            error = exc
        self = cls.__new__(cls)
        self.config, self.run_dir, self.address = config, run_dir, address
        self._lane = cast("LaneProducer", NoLane(error))
        self.log_vector = self.log = self._lane.log_vector  # type: ignore[method-assign]
        self._durability, self._losses = Durability(self._lane, None), Losses(self._lane)
        self._end, self._ended = None, True
        open_engines.add(self)
        return self

    def __repr__(self) -> str:
        return f"LoggingEngine({self.run_dir!r})"

    # Each engine has the lane's own function under this name: it saves a call.
    def log_vector(self, values: Mapping[str, object], step: int | None = None) -> None:
        """Logs a row of metrics that belong together.

        Args:
            values: name to value: float, int, bool, str or Decimal, or a 0-d value of numpy,
                torch, jax and others on the CPU.
            step: a whole number, not a bool; None if the row has none.

        Durability: published when it returns; it survives the death of this process.

        Raises:
            TypeError, ValueError: naming the key; nothing was logged.
            RunClosedError: after close().
        """
        self._lane.log_vector(values, step)

    def log(self, values: Mapping[str, object], step: int | None = None) -> None:
        """Logs a row of metrics: another name of `log_vector`."""
        self.log_vector(values, step)

    def save_artifact(
        self, path: str | os.PathLike[str], name: str | os.PathLike[str] | None = None
    ) -> None:
        """Keeps a file or a directory in `artifacts/`.

        A relative path keeps its folders, an absolute one its last name; `name` sets it.
        Permissions and mtime are kept. The file may be deleted or replaced right after the
        call, which takes a snapshot: a reflink, else a hard link, both at once; where neither
        is possible, on another file system for example, the call copies the bytes, and takes
        as long as that. With a hard link a file that is changed *in place* before the writer
        has copied it is stored as changed.

        What cannot be stored costs nothing else: flush() and close() raise ArtifactError for
        it, and `artifacts_missing` in run.yaml counts it.

        Durability: the request is published when it returns; flush() waits for the copy.

        Raises:
            FileNotFoundError: there is no such file.
            TypeError: the path or the name is not text or a path.
            PermissionError: it cannot be read.
            ValueError: the name would land outside artifacts/, or is too long.
            RunClosedError: after close().
        """
        with no_fork():
            from expman.storage import artifacts
        from expman.transport.values import plain_path

        if self._ended:  # before a snapshot is made that nobody would store
            raise RunClosedError(self.run_dir)
        source = plain_path("path", path)
        name = None if name is None else plain_path("name", name)
        target = artifacts.artifact_target(source, name, self.run_dir)
        with artifacts.staged(source, self.run_dir) as snapshot:
            self._lane.save_artifact(os.path.abspath(source), snapshot, target)

    def flush(self, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> None:
        """Waits until everything this process logged before is durable.

        Args:
            timeout_s: seconds to wait at most; None or inf: without a limit.

        Raises:
            FlushError: it is not after `timeout_s` seconds; the message says why and where
                the data is. Nothing is lost by it.
            FlushError: rows of the run are known to be missing; once for each. They were lost
                with shared memory or files that were removed or damaged. For the owner only.
            ArtifactError: everything is durable, but for artifacts that cannot be stored.
            RunClosedError: after close().
            TypeError, ValueError: the timeout is not a number.
        """
        self._durability.wait(seconds(timeout_s))
        self._losses.check(of_owner=self._end is not None)

    @property
    def is_open(self) -> bool:
        """True if this process owns the run and has not ended it."""
        return self._end is not None and not self._ended

    @property
    def has_ended(self) -> bool:
        """True if this process has ended the run, or its part in it."""
        return self._ended

    @property
    def durable_seq(self) -> int | None:
        """Number of the last row of this process that is durable, from 0; None if none is.

        Costs one look into shared memory. Rows become durable every few seconds by
        themselves, and with flush().
        """
        return self._durability.seq

    @property
    def durable_step(self) -> int | None:
        """Step of the last durable row of this process that has one; None if there is none.

        Put it next to a checkpoint to know how far the record of the run reaches.
        """
        return self._durability.step

    def close(
        self,
        status: RunStatus | str = RunStatus.FINISHED,
        *,
        reason: str | None = None,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Ends the run with a status, and waits until it is durable.

        May be called again: it waits for what the first call did not wait for, also if that was
        interrupted; the first status counts. Shared memory and descriptors are given back.

        In a worker (a forked child, an attached process) it ends the worker's part only: the
        run goes on, and the status does not count.

        Raises:
            ValueError: the status is not FINISHED, FAILED or CRASHED, or the timeout is NaN.
            TypeError: the timeout is not a number.
            FlushError: not everything is durable after `timeout_s` seconds; the message says
                why and how to recover. The writer goes on trying.
            FlushError: the run has ended, and rows are missing that no flush() has named.
            ArtifactError: the same for artifacts.
        """
        from expman.transport.values import plain_text

        final = RunStatus.parse_final(status)
        limit_s = seconds(timeout_s)
        end = self._end
        if self._ended:
            if end is None or not end.is_open:  # libc stores the exit status in the lane
                self._lane.let_go()
            return
        if self._unasked is not None:
            self._unasked.stop()
        self._report_dropped_media(limit_s)
        if end is None:
            self._durability.close_worker(final, limit_s)
        else:
            text = None if reason is None else plain_text("reason", reason)[:_MAX_REASON]
            settled = end.final.settle((final, text))
            self._durability.close_owner(*settled, limit_s, taken=end.unwatch)
        self._finish(end)

    def _finish(self, end: ProgramEnd | None) -> None:
        self._ended = True
        if self._unasked is not None:
            self._unasked.stop_stacks()
        try:
            if end is not None:
                self._losses.warn_of_drops(self.config.max_buffer_bytes)
            if self._lines is not None:
                self._lines.end()
            self._losses.check(of_owner=end is not None)
        finally:
            if end is None or not end.is_open:
                self._lane.let_go()

    def __enter__(self) -> LoggingEngine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None or (isinstance(exc, SystemExit) and exc.code in (None, 0)):
            self.close()
            return
        self._note_exception(exc)
        try:
            self.close(RunStatus.FAILED, reason=describe(exc))
        except FlushError as missing:
            if not self._ended:
                raise
            notices.warn(f"expman: {missing}")  # the exception that ended the block matters more

    def _note_exception(self, exc: BaseException) -> None:
        """Adds the traceback of what ends the run, or a worker's part of it, to run.log."""
        if self._ended or isinstance(exc, SystemExit):
            return
        text = traceback_in_worker(exc) if self._end is None else traceback_of(exc)
        with contextlib.suppress(ExpmanError):
            self.log_message(LogLevel.ERROR, text)

    def _close_at_exit(self) -> None:
        end = self._end
        if self._ended or end is None:
            return
        exc = end.exception()
        try:
            if exc is not None:
                self._note_exception(exc)
            if end.is_known() or not self._leave_to_exit_status(end):
                self._close_with_program(end.reason())
        except FlushError as missing:
            notices.warn(f"expman: {missing}")
        if isinstance(exc, KeyboardInterrupt):
            note_interrupt()

    def _leave_to_exit_status(self, end: ProgramEnd) -> bool:
        """Ends the run with the program: its exit status decides; False if none can be had.

        All but the status is durable when it returns; the writer adds that when libc has stored
        it, and the process ends only after that, unless it takes long.
        """
        final = end.open(self._lane)
        if final is None:
            return False
        if self._unasked is not None:
            self._unasked.stop()
        self._durability.close_owner(*final, DEFAULT_TIMEOUT_S, taken=end.unwatch)
        end.let_process_wait(self._lane)
        self._finish(end)
        return True

    def _close_in_child(self, exc: BaseException | None) -> None:
        """A child of multiprocessing ends, by an exception or not."""
        if self.is_open:
            self._close_with_program(describe_exit(exc))

    def _close_at_os_exit(self, status: int) -> None:
        """An exit handler calls os._exit(): libc's exit() will see nothing."""
        if self._end is not None:
            self._end.store_exit(self._lane, status)
            self._close_with_program(f"os._exit({status})" if status else None)

    def _close_with_program(self, failure: str | None) -> None:
        try:
            self.close(RunStatus.FAILED if failure else RunStatus.FINISHED, reason=failure)
        except FlushError as exc:
            notices.warn(f"expman: {exc}")

    def _forget(self) -> None:
        self._lane.forget()
        self._durability.supervisor = None
        self._end, self._lines = None, None
        if self._unasked is not None:
            self._unasked.forget()
