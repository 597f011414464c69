"""LoggingEngine: one run, as the process that owns it sees it."""

from __future__ import annotations

import atexit
import logging
import os
import time
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from expman.errors import FlushError, RunExistsError, StorageError
from expman.exit_status import ExitWatch, describe
from expman.models import ExperimentConfig, LogLevel, RunStatus

if TYPE_CHECKING:  # what only a run needs is imported by its first engine
    from expman.transport import records

__all__ = ["LoggingEngine"]

DEFAULT_TIMEOUT_S = 60.0
_REAP_S = 2.0
_MAX_SUFFIX = 10_000
_log = logging.getLogger("expman")
_engines: weakref.WeakSet[LoggingEngine] = weakref.WeakSet()


class LoggingEngine:
    """Records one run. Starts the writer process and does not wait for it.

    Args:
        config: what to record, and where. `engine.config` has the run name that was taken.

    Attributes:
        log_vector: `log_vector(values, step=None)` logs a row of metrics that belong
            together. Values are float, int, bool or str, or scalars of numpy or torch on
            the CPU; step is a whole number or None. Raises TypeError or ValueError naming
            the key, RunClosedError after close().
            Durability: published when it returns: it survives the death of this process.

    Raises:
        RunExistsError: the run_name that was asked for exists.
        StorageError: the base directory cannot be written.
        SharedMemoryError: no memory can be had for the records.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        from expman.sidecar.supervisor import Supervisor
        from expman.transport import layout, producer, segment

        self.config = _create_run(config)
        self.run_dir = os.path.abspath(self.config.run_dir)
        self._layout = layout
        room = producer.FIRST_TERM_BYTES + layout.CONTROL_BYTES
        self._address, self._base = segment.create_anywhere(layout.ADDRESS_BYTES, room)
        self._base_words = memoryview(self._base.map())
        self._sidecar = Supervisor(self._address, self.run_dir)
        self._lane = producer.LaneProducer(
            self._address,
            _hello(self.config),
            max_bytes=self.config.max_buffer_bytes,
            overflow=self.config.overflow,
            on_wait=self._may_wait,
        )
        self._pid = os.getpid()
        self._ended = False
        self._watch = ExitWatch()
        self.log_vector = self._lane.log_vector
        atexit.register(self._close_at_exit)
        _engines.add(self)

    def __repr__(self) -> str:
        return f"LoggingEngine({self.run_dir!r})"

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

    def log_params(self, params: Mapping[str, object]) -> None:
        """Records parameters; later calls merge at the top level.

        Nested mappings, lists, tuples, None, numbers, text, dates, paths, enums, dataclasses
        and numpy scalars are kept; anything else becomes its text, with a line in run.log.

        Durability: published when it returns.

        Raises:
            TypeError: they are no mapping.
            RunClosedError: after close().
        """
        from expman.transport import values

        plain, notes = values.plain_params(params)
        self._lane.log_params(plain)
        if notes:
            self._lane.log_message(LogLevel.WARN, "; ".join(notes))

    def log_message(self, level: LogLevel | str, message: str) -> None:
        """Adds a line to run.log.

        Durability: published when it returns.

        Raises:
            ValueError: the level is none of INFO, WARN, ERROR.
            RunClosedError: after close().
        """
        self._lane.log_message(LogLevel(str(level).upper()), str(message))

    def save_artifact(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        """Has the writer copy a file or a directory into `artifacts/`.

        A relative path keeps its folders, an absolute one its last name; `name` sets it.
        The file may be deleted or replaced right after the call: a snapshot (reflink, else
        hard link) is kept where the filesystem allows one. With a hard link, or where no
        link is possible (another filesystem), a file that is changed *in place* before the
        writer has copied it is copied as changed.

        Durability: the wish is published when it returns; flush() waits for the copy.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the name would land outside artifacts/.
            RunClosedError: after close().
        """
        from expman.storage import artifacts

        source = os.fspath(path)
        target = artifacts.artifact_target(source, name)
        staged = artifacts.snapshot(source, artifacts.staging_dir(self.run_dir))
        self._lane.save_artifact(os.path.abspath(source), staged, target)

    def flush(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Waits until everything this process logged before is durable.

        Raises:
            FlushError: it is not after `timeout_s` seconds; the message says why and where
                the data is. Nothing is lost by it.
            RunClosedError: after close().
        """
        deadline = time.monotonic() + timeout_s
        number = self._lane.request_flush(timeout_s)
        words, layout = self._lane.words, self._layout
        while number is None or words[layout.FLUSHED] < number:
            if words[layout.RUN_ENDED] and number is not None:
                return
            if number is None or time.monotonic() > deadline or self._sidecar.given_up:
                raise FlushError(self.run_dir, self._trouble(timeout_s), self._recovery())
            time.sleep(0.001)

    def close(
        self,
        status: RunStatus | str = RunStatus.FINISHED,
        *,
        reason: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Ends the run with its status and waits until it is durable. Twice is fine.

        Raises:
            ValueError: the status is none, or RUNNING.
            FlushError: not everything is durable after `timeout_s` seconds; the message says
                why and how to recover. The writer goes on trying.
        """
        final = RunStatus.parse(status)
        if final is RunStatus.RUNNING:
            raise ValueError("a run cannot be closed as RUNNING; use FINISHED, FAILED or CRASHED")
        if self._ended or self._pid != os.getpid():
            return
        self._ended = True
        atexit.unregister(self._close_at_exit)
        deadline = time.monotonic() + timeout_s
        if not self._lane.close(final, reason, timeout_s):
            raise FlushError(self.run_dir, self._trouble(timeout_s), self._recovery())
        words, ended = self._lane.words, self._layout.RUN_ENDED
        pause_s = 0.0002
        while not words[ended]:
            if time.monotonic() > deadline or self._sidecar.given_up:
                self._sidecar.expect_end()
                raise FlushError(self.run_dir, self._trouble(timeout_s), self._recovery())
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.3, 0.01)
        self._sidecar.stop(min(_REAP_S, max(timeout_s, 0)))
        if self._lane.dropped_rows:
            _log.warning(
                "expman: %d rows of %s were dropped: the buffer of %d bytes was full",
                self._lane.dropped_rows,
                self.run_dir,
                self.config.max_buffer_bytes,
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
        else:
            self.close(RunStatus.FAILED, reason=describe(exc))

    def _close_at_exit(self) -> None:
        if self._ended or self._pid != os.getpid():
            return
        reason = self._watch.reason()
        try:
            self.close(RunStatus.FAILED if reason else RunStatus.FINISHED, reason=reason)
        except FlushError as exc:
            _log.error("expman: %s", exc)

    def _may_wait(self) -> bool:
        return not self._sidecar.given_up

    def _trouble(self, timeout_s: float) -> str:
        layout = self._layout
        length = self._base_words.cast("Q")[layout.TROUBLE_BYTES]
        if self._sidecar.given_up:
            why = f"no writer can be kept running ({self._sidecar.reason()})"
        elif length:
            start = layout.TROUBLE_OFFSET
            why = bytes(self._base_words[start : start + length]).decode(errors="replace")
        else:
            why = f"the writer did not finish within {timeout_s:g} s"
        return f"not everything is durable: {why}"

    def _recovery(self) -> str:
        return (
            f"the data is in shared memory ({self._address.place}); "
            f"`expman-writer recover {self.config.base_dir}` brings it into files"
        )

    def _forget(self) -> None:
        self._lane.forget()


def _create_run(config: ExperimentConfig) -> ExperimentConfig:
    """Creates the run directory, which nobody else may have created, and its first run.yaml."""
    try:
        os.makedirs(config.experiment_dir, exist_ok=True)
    except OSError as exc:
        raise StorageError(config.experiment_dir, f"cannot be created: {exc.strerror}") from exc
    first, number = config.run_name or "", 0
    while True:
        try:
            os.mkdir(config.run_dir)
            break
        except FileExistsError:
            number += 1
            if not config.suffix_if_taken or number > _MAX_SUFFIX:
                raise RunExistsError(config.run_dir) from None
            config = msgspec.structs.replace(config, run_name=f"{first}-{number}")
        except OSError as exc:
            raise StorageError(config.run_dir, f"cannot be created: {exc.strerror}") from exc
    document: dict[str, object] = {
        "name": config.run_name,
        "experiment": config.name,
        "status": RunStatus.RUNNING,
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime()),
        "finished_at": None,
        "duration_secs": None,
        "description": config.description,
        "tags": config.tags or None,
        "scalars": {},
        "vectors": {},
        "language": config.language,
        "env_path": config.env_path,
    }
    path = os.path.join(config.run_dir, "run.yaml")
    try:
        with open(path, "xb") as file:  # JSON is YAML, and needs no YAML library here
            file.write(msgspec.json.encode(document))
    except OSError as exc:
        raise StorageError(path, f"cannot be written: {exc.strerror}") from exc
    return config


def _hello(config: ExperimentConfig) -> records.Hello:
    from expman.transport import records

    return records.Hello(
        role="owner",
        producer="main",
        pid=os.getpid(),
        started_at_ns=time.time_ns(),
        base_dir=os.path.abspath(config.base_dir),
        experiment=config.name,
        run_name=config.run_name or "",
        language=config.language,
        env_path=config.env_path,
        tags=config.tags,
        description=config.description,
        flush_interval_rows=config.flush_interval_rows,
        flush_interval_ms=config.flush_interval_ms,
    )


def _forget_in_child() -> None:
    for engine in _engines:
        engine._forget()


os.register_at_fork(after_in_child=_forget_in_child)
