"""LoggingEngine: one run, as the process that owns it sees it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import time
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, cast

from expman import notices
from expman.capture.exit_status import (
    ChildEnd,
    ExitWatch,
    child_end,
    describe,
    describe_exit,
    watch_os_exit,
)
from expman.ended_run import NoLane
from expman.errors import (
    ArtifactError,
    ConfigError,
    ExpmanError,
    FlushError,
    RunClosedError,
    RunEndedError,
    SharedMemoryError,
)
from expman.models import ExperimentConfig, LogLevel, RunStatus
from expman.timeouts import seconds

if TYPE_CHECKING:  # what only a run needs is imported by its first engine
    from expman.launch.start import RunStart
    from expman.launch.supervisor import Supervisor
    from expman.transport.once import Once
    from expman.transport.producer import LaneProducer

__all__ = ["LoggingEngine", "attach"]

RUN_VARIABLE = "EXPMAN_RUN"
DEFAULT_TIMEOUT_S = 60.0
_REAP_S = 2.0
_MAX_REASON = 4000
_engines: weakref.WeakSet[LoggingEngine] = weakref.WeakSet()


class LoggingEngine:
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

    _has_open_end = False
    """Whether the writer learns the status from the process's end, see `_end_openly`."""

    def __init__(self, config: ExperimentConfig) -> None:
        from expman.launch.start import RunStart

        self._child_end: ChildEnd | None = None
        start = RunStart(config)
        try:
            start.make()
            self.config = start.config
            self._sidecar: Supervisor | None = start.sidecar
            self._begin(start.lane, start.lane.lane, owner=True)
            self._watch = ExitWatch()
            _watch_os_exit()
            self._child_end = child_end(self._close_in_child)
            atexit.register(self._close_at_exit)
            start.begin()
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
        atexit.unregister(self._close_at_exit)
        if self._child_end is not None:
            self._child_end.cancel()
        _engines.discard(self)

    def _begin(self, lane: LaneProducer, owner_lane: int, *, owner: bool) -> None:
        from expman.transport.once import Once

        self.run_dir = lane.run_dir
        self.address = f"{lane.address}#{owner_lane}"
        lane.log_vector.__doc__ = LoggingEngine.log_vector.__doc__
        self.log_vector = self.log = lane.log_vector  # type: ignore[method-assign]
        self._lane = lane
        self._is_owner = owner
        self._final: Once[tuple[RunStatus, str | None]] = Once()
        self._ended = False
        self._missing_said = self._rows_missing_said = 0
        _engines.add(self)

    @classmethod
    def _attach(cls, address: str) -> LoggingEngine:
        from expman.transport import producer, segment, settings
        from expman.transport.gate import RunGate

        for engine in list(_engines):
            if engine.address == address and not engine._ended:
                return engine
            if engine.address == address and engine._is_owner:
                raise RunEndedError(address)
        text, mark, number = address.rpartition("#")
        if not mark or not number.isdigit():
            raise ConfigError("address", address, "must be the `address` of an engine")
        door = segment.Address.parse(text)
        try:
            gate = RunGate.attach(door, int(number))
        except FileNotFoundError:
            raise RunEndedError(address) from None
        except PermissionError as exc:
            raise SharedMemoryError(0, [f"{door}: {exc.strerror}"]) from exc
        if gate.closing:
            raise RunEndedError(address)
        hello = gate.hello
        self = cls.__new__(cls)
        self.config = settings.config_of(hello)
        self._sidecar = None
        lane = producer.LaneProducer(door, hello, gate=gate)
        self._begin(lane, int(number), owner=False)
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
        except OSError as exc:
            error = SharedMemoryError(0, [f"{address}: {exc.strerror}"])
        self = cls.__new__(cls)
        self.config, self.run_dir, self.address = config, run_dir, address
        self._lane = cast("LaneProducer", NoLane(error))
        self.log_vector = self.log = self._lane.log_vector  # type: ignore[method-assign]
        self._sidecar = None
        self._is_owner, self._ended = False, True
        _engines.add(self)
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
        """Logs a row of metrics: another name of `log_vector`.

        Durability: published when it returns.
        """
        self.log_vector(values, step)

    def log_scalar(self, key: str, value: object) -> None:
        """Sets a single value of the run; the latest one counts.

        Durability: published when it returns.

        Raises:
            TypeError, ValueError: the key or the value cannot be used.
            RunClosedError: after close().
        """
        from expman.transport import values

        name = values.check_key(key)
        self._lane.log_scalar(name, values.plain_metric(name, value))

    def log_params(self, params: object) -> None:
        """Records parameters; later calls merge at the top level.

        Takes a mapping, or an object with fields: argparse.Namespace, a dataclass, an attrs
        class, a pydantic model, OmegaConf's DictConfig, … Structure is kept at any depth; the
        guide says how each kind of value is kept. What YAML has no kind for becomes text or null,
        with a line in run.log.

        Durability: published when it returns.

        Raises:
            TypeError: the parameters have no names, or a name is not text.
            ValueError: two names have the same text, or there are more than 100,000 values or
                1 Mi characters.
            RecordTooLargeError: they are larger than the buffer.
            RunClosedError: after close().
        """
        from expman.transport.params import plain_params

        plain, note = plain_params(params)
        self._lane.log_params(plain)
        if note:
            self._lane.log_message(LogLevel.WARN, note)

    def log_message(self, level: LogLevel | str, message: object) -> None:
        """Adds a line to run.log: the message's str().

        Durability: published when it returns.

        Raises:
            ValueError: the level is not INFO, WARN or ERROR.
            TypeError: the message has no str().
            RecordTooLargeError: the message is larger than the buffer.
            RunClosedError: after close().
        """
        from expman.transport.values import plain_text

        self._lane.log_message(LogLevel.parse(level), plain_text("message", message))

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
        from expman.storage import artifacts
        from expman.transport.values import plain_path

        if self._ended:  # before a snapshot is made that nobody would store
            raise RunClosedError(self.run_dir)
        source = plain_path("path", path)
        name = None if name is None else plain_path("name", name)
        target = artifacts.artifact_target(source, name, self.run_dir)
        staged = artifacts.snapshot(source, artifacts.staging_dir(self.run_dir))
        try:
            self._lane.save_artifact(os.path.abspath(source), staged, target)
        except BaseException:
            if staged is not None:
                artifacts.discard(staged)
            raise

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
        self._wait_until_durable(seconds(timeout_s))
        self._check_what_is_missing()

    def _wait_until_durable(self, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        if self._sidecar is not None:
            self._sidecar.try_again()
        number = self._lane.request_flush(limit_s)
        if number == 0:
            return  # a worker that has logged nothing
        if number is None:
            raise self._flush_error(limit_s)
        control = self._lane.control
        while control.flushed < number and not control.run_ended:
            if time.monotonic() > deadline or self._is_hopeless():
                raise self._flush_error(limit_s)
            time.sleep(0.001)

    @property
    def is_open(self) -> bool:
        """Whether this process owns the run and has not ended it."""
        return self._is_owner and not self._ended

    @property
    def durable_seq(self) -> int | None:
        """Number of the last row of this process that is durable, from 0; None if none is.

        Costs one look into shared memory. Rows become durable every few seconds by
        themselves, and with flush().
        """
        if not self._lane.claimed or not self._lane.control.durable_rows:
            return None
        control = self._lane.control
        return control.seq_base + control.durable_rows - 1

    @property
    def durable_step(self) -> int | None:
        """Step of the last durable row of this process that has one; None if there is none.

        Put it next to a checkpoint to know how far the record of the run reaches.
        """
        return self._lane.control.durable_step if self._lane.claimed else None

    def close(
        self,
        status: RunStatus | str = RunStatus.FINISHED,
        *,
        reason: str | None = None,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Ends the run with a status, and waits until it is durable.

        Twice is fine: it waits again for what the first call did not wait for, with the first
        status. That holds for a call that was interrupted, too. Shared memory and descriptors
        are given back at once; `durable_seq` and `durable_step` still answer.

        In a worker (a forked child, an attached process) it ends the worker's part only: the
        run goes on, and the status does not count.

        Raises:
            ValueError: the status is none, or RUNNING, or the timeout is NaN.
            TypeError: the timeout is not a number.
            FlushError: not everything is durable after `timeout_s` seconds; the message says
                why and how to recover. The writer goes on trying.
            FlushError: the run has ended, and rows are missing that no flush() has named.
            ArtifactError: the run has ended, and artifacts are missing that no flush() has
                named.
        """
        from expman.transport.values import plain_text

        final = RunStatus.parse(status)
        if final is RunStatus.RUNNING:
            raise ValueError("a run cannot be closed as RUNNING; use FINISHED, FAILED or CRASHED")
        limit_s = seconds(timeout_s)
        if self._ended:
            if not self._has_open_end:  # libc stores the exit status in the lane
                self._lane.let_go()
            return
        if self._is_owner:
            text = None if reason is None else plain_text("reason", reason)[:_MAX_REASON]
            self._close_owner(*self._final.settle((final, text)), limit_s)
        else:
            self._close_worker(final, limit_s)
        self._ended = True
        try:
            self._check_what_is_missing()
        finally:
            self._lane.let_go()

    def _close_worker(self, status: RunStatus, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        try:
            try:
                self._wait_until_durable(timeout_s)
            finally:
                self._lane.close(status, None, max(0.0, deadline - time.monotonic()))
        except RunClosedError:
            return  # the run has ended, or ends: whatever was taken becomes durable by that

    def _close_owner(self, status: RunStatus, reason: str | None, timeout_s: float) -> None:
        sidecar = self._sidecar
        assert sidecar is not None
        deadline = time.monotonic() + timeout_s
        sidecar.try_again()
        if not self._lane.close(status, reason, timeout_s):
            raise self._flush_error(timeout_s)
        atexit.unregister(self._close_at_exit)  # the writer knows the status now
        if self._child_end is not None:
            self._child_end.cancel()
        control = self._lane.control
        is_open = status is RunStatus.RUNNING  # the exit status decides
        pause_s = 0.0002
        while not (control.run_ended or (is_open and control.settled)):
            if time.monotonic() > deadline or sidecar.failing:
                raise self._flush_error(timeout_s)
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.3, 0.01)
        sidecar.stop(min(_REAP_S, timeout_s) if control.run_ended else 0)
        if self._lane.dropped_rows:
            notices.warn(
                f"expman: {self._lane.dropped_rows} rows of {self.run_dir} were dropped: the "
                f"buffer of {self.config.max_buffer_bytes} bytes was full"
            )

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
        try:
            self.close(RunStatus.FAILED, reason=describe(exc))
        except FlushError as missing:
            if not self._ended:
                raise
            notices.warn(f"expman: {missing}")  # the exception that ended the block matters more

    def _close_at_exit(self) -> None:
        if self._ended or not self._is_owner:
            return
        try:
            if self._watch.is_end() or not self._leave_to_exit_status():
                reason = self._watch.error() or self._watch.wrapped_code()
                self.close(RunStatus.FAILED if reason else RunStatus.FINISHED, reason=reason)
        except FlushError as exc:
            notices.warn(f"expman: {exc}")

    def _check_what_is_missing(self) -> None:
        """Raises for rows and artifacts that are missing, once for each."""
        try:
            self._check_rows()
        finally:
            self._check_artifacts()

    def _check_rows(self) -> None:
        if not self._is_owner:
            return
        count = self._lane.control.rows_missing
        said, self._rows_missing_said = self._rows_missing_said, count
        if count > said:
            raise FlushError(
                self.run_dir,
                f"{count - said:,} rows are missing, run.log says more",
                "they were in files or shared memory that somebody removed or damaged; all "
                "others are durable",
            )

    def _check_artifacts(self) -> None:
        """Raises for artifacts that could not be stored, once for each."""
        if not self._lane.claimed:
            return
        control = self._lane.control
        count = control.artifacts_missing
        said, self._missing_said = self._missing_said, count
        if count <= said:
            return
        raise ArtifactError(self.run_dir, control.missing_artifacts[said:], count - said)

    def _close_in_child(self, exc: BaseException | None) -> None:
        """A child of multiprocessing ends, by an exception or not."""
        if self._ended or not self._is_owner:
            return
        reason = describe_exit(exc)
        try:
            self.close(RunStatus.FAILED if reason else RunStatus.FINISHED, reason=reason)
        except FlushError as error:
            notices.warn(f"expman: {error}")

    def _leave_to_exit_status(self) -> bool:
        """Ends the run with the program: its exit status decides; False: nobody can tell it.

        All but the status is durable when it returns; the writer adds that when libc has stored
        it, and the process ends only after that, unless it takes long.
        """
        from expman.transport import exit_record

        if self._watch.knows_exits or self._final.get(None) is not None:
            return False
        try:
            self._lane.store_exit_status()
        except OSError:
            return False
        self._has_open_end = True
        final = self._final.settle((RunStatus.RUNNING, self._watch.error()))
        self._close_owner(*final, DEFAULT_TIMEOUT_S)
        self._ended = True
        exit_record.let_wait(self._lane.control)
        self._check_what_is_missing()
        return True

    def _close_at_os_exit(self, status: int) -> None:
        """An exit handler calls os._exit(): libc's exit() will see nothing."""
        from expman.transport import exit_record

        if not self._is_owner:
            return
        if self._has_open_end:
            exit_record.store(self._lane.control, status)
        reason = f"os._exit({status})" if status else None
        self.close(RunStatus.FAILED if status else RunStatus.FINISHED, reason=reason)

    def _is_hopeless(self) -> bool:
        if self._sidecar is not None:
            return self._sidecar.failing
        gate = self._lane.gate
        return gate is not None and not gate.may_wait()

    def _flush_error(self, timeout_s: float) -> FlushError:
        """Says why not everything is durable, where it is, and what to do."""
        write_error = self._lane.control.write_error
        if self._sidecar is not None and self._sidecar.failing:
            why = f"no writer can be kept running ({self._sidecar.reason()})"
        elif write_error:
            why = write_error
        else:
            why = f"the writer did not finish within {timeout_s:g} s"
        return FlushError(
            self.run_dir,
            f"not everything is durable: {why}",
            f"the data is in shared memory ({self._lane.address.place}); "
            f"`expman-writer recover {self.config.base_dir}` brings it into files",
        )

    def _forget(self) -> None:
        self._lane.forget()
        self._is_owner = False
        self._sidecar = None


def attach(address: str | None = None) -> LoggingEngine:
    """Joins a run of another process as a worker; never creates one.

    Args:
        address: the `address` of the run's engine; the variable EXPMAN_RUN if left out.

    Returns:
        An engine whose rows go into that run. In a process that has the engine already, a
        forked child or the owner itself, that one.

    Raises:
        ConfigError: it is no address, or there is none.
        RunEndedError: the run has ended.
    """
    text = address if address is not None else os.environ.get(RUN_VARIABLE)
    if not isinstance(text, str) or not text:
        raise ConfigError(
            "address", text, f"pass the `address` of an engine, or set {RUN_VARIABLE} to it"
        )
    return LoggingEngine._attach(text)


@functools.cache
def _watch_os_exit() -> None:
    watch_os_exit(_close_all_at_os_exit)


def _close_all_at_os_exit(status: int) -> None:
    for engine in list(_engines):
        try:
            engine._close_at_os_exit(status)
        except FlushError as exc:
            notices.warn(f"expman: {exc}")


def _forget_in_child() -> None:
    for engine in _engines:
        engine._forget()


os.register_at_fork(after_in_child=_forget_in_child)
