"""Experiment, init() and the functions of the current run: the Python habit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Literal

from expman import current_run
from expman.engine import DEFAULT_TIMEOUT_S, RUN_VARIABLE, LoggingEngine, attach
from expman.errors import NoActiveRunError
from expman.models import ExperimentConfig, LogLevel, RunStatus

__all__ = [
    "Experiment",
    "close",
    "error",
    "fail",
    "info",
    "init",
    "log_params",
    "log_scalar",
    "log_vector",
    "save_artifact",
    "warn",
]


class Experiment:
    """One run, with the names and defaults that expman-rs users know.

    Args:
        name: the experiment's name.
        run_name: the run's name; a time stamp if left out.
        base_dir: directory that holds all experiments.
        flush_interval_rows: rows after which the writer writes to disk.
        flush_interval_ms: milliseconds after which it writes whatever there is.
        redirect_console: not available in this release; True raises NotImplementedError.
        tags: recorded in run.yaml; one text is one tag.
        description: recorded in run.yaml.
        max_buffer_bytes: limit of shared memory.
        overflow: "block" or "drop", see ExperimentConfig.

    Raises:
        ExpmanError: as LoggingEngine and ExperimentConfig do.
    """

    def __init__(
        self,
        name: str,
        run_name: str | None = None,
        base_dir: str | os.PathLike[str] = "experiments",
        flush_interval_rows: int = 50,
        flush_interval_ms: int = 500,
        redirect_console: bool | None = None,
        *,
        tags: Sequence[str] = (),
        description: str | None = None,
        max_buffer_bytes: int = 64 * 1024 * 1024,
        overflow: Literal["block", "drop"] = "block",
    ) -> None:
        if redirect_console:
            raise NotImplementedError(
                "redirect_console=True is not available in this release; leave it out, "
                "the console's output then goes where it always went"
            )
        self.engine = LoggingEngine(
            ExperimentConfig(
                name,
                base_dir,  # type: ignore[arg-type] # made text by it
                run_name=run_name,
                flush_interval_rows=flush_interval_rows,
                flush_interval_ms=flush_interval_ms,
                tags=tags,
                description=description,
                max_buffer_bytes=max_buffer_bytes,
                overflow=overflow,
            )
        )
        self._bind()

    def _bind(self) -> None:
        self.log_vector = self.engine.log_vector
        self.log_scalar = self.engine.log_scalar
        self.log_params = self.engine.log_params
        self.save_artifact = self.engine.save_artifact
        self.flush = self.engine.flush

    @classmethod
    def _attached(cls, address: str) -> Experiment:
        return cls._of(attach(address))

    @classmethod
    def _of(cls, engine: LoggingEngine) -> Experiment:
        self = cls.__new__(cls)
        self.engine = engine
        self._bind()
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return Experiment._of, (self.engine,)

    @property
    def run_dir(self) -> str:
        """Directory of the run."""
        return self.engine.run_dir

    @property
    def run_name(self) -> str:
        """Name of the run."""
        return self.engine.config.run_name or ""

    def info(self, message: str) -> None:
        """Adds an INFO line to run.log."""
        self.engine.log_message(LogLevel.INFO, message)

    def warn(self, message: str) -> None:
        """Adds a WARN line to run.log."""
        self.engine.log_message(LogLevel.WARN, message)

    def error(self, message: str) -> None:
        """Adds an ERROR line to run.log."""
        self.engine.log_message(LogLevel.ERROR, message)

    def close(
        self,
        status: RunStatus | str = "FINISHED",
        reason: str | None = None,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Ends the run; the status is read in any letter case. See LoggingEngine.close."""
        self.engine.close(status, reason=reason, timeout_s=timeout_s)

    def fail(self, reason: str | None = None) -> None:
        """Ends the run as FAILED."""
        self.close(RunStatus.FAILED, reason)

    def __enter__(self) -> Experiment:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.engine.__exit__(kind, exc, traceback)

    def __repr__(self) -> str:
        return f"Experiment({self.run_dir!r})"


def init(
    name: str,
    run_name: str | None = None,
    base_dir: str | os.PathLike[str] = "experiments",
    flush_interval_rows: int = 50,
    flush_interval_ms: int = 500,
    redirect_console: bool | None = None,
    *,
    tags: Sequence[str] = (),
    description: str | None = None,
) -> Experiment:
    """Starts a run and makes it the current one of this thread, or of this asyncio task.

    The run that the same thread or task made current before is closed first. Threads and tasks
    that call no `init()` have the run of the one that started them, or the process's.
    """
    before = current_run.end_own()
    if before is not None:
        before.close()
    run = Experiment(
        name,
        run_name,
        base_dir,
        flush_interval_rows,
        flush_interval_ms,
        redirect_console,
        tags=tags,
        description=description,
    )
    current_run.set_current(run)
    return run


def _active(function: str) -> Experiment:
    """The current run; in a process that has EXPMAN_RUN in its environment, that one."""
    run = current_run.current()
    if run is None:
        address = os.environ.get(RUN_VARIABLE)
        if not address:
            raise NoActiveRunError(function)
        run = Experiment._attached(address)
        current_run.set_for_process(run)
    return run


def log_vector(values: Mapping[str, object], step: int | None = None) -> None:
    """Logs a row of metrics to the current run."""
    _active("log_vector").log_vector(values, step)


def log_scalar(key: str, value: object) -> None:
    """Sets a single value of the current run."""
    _active("log_scalar").log_scalar(key, value)


def log_params(params: object) -> None:
    """Records parameters of the current run."""
    _active("log_params").log_params(params)


def save_artifact(path: str | os.PathLike[str], name: str | None = None) -> None:
    """Has a file copied into the current run."""
    _active("save_artifact").save_artifact(path, name)


def info(message: str) -> None:
    """Adds an INFO line to the current run's log."""
    _active("info").info(message)


def warn(message: str) -> None:
    """Adds a WARN line to the current run's log."""
    _active("warn").warn(message)


def error(message: str) -> None:
    """Adds an ERROR line to the current run's log."""
    _active("error").error(message)


def close(status: RunStatus | str = "FINISHED", reason: str | None = None) -> None:
    """Ends the current run, if there is one."""
    run = current_run.end_current()
    if run is not None:
        run.close(status, reason)


def fail(reason: str | None = None) -> None:
    """Ends the current run as FAILED."""
    close(RunStatus.FAILED, reason)
