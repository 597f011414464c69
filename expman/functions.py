"""The functions of the module: init(), and those that mean the current run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal

from expman import current_run, notices, settings
from expman.attaching import RUN_VARIABLE
from expman.errors import NoActiveRunError
from expman.experiment import Experiment, config_of
from expman.models import RunStatus
from expman.suggestions import suggests_keywords

__all__ = [
    "active_run",
    "close",
    "error",
    "fail",
    "info",
    "init",
    "log",
    "log_params",
    "log_scalar",
    "log_vector",
    "save_artifact",
    "tensorboard_dir",
    "warn",
]


@suggests_keywords
def init(
    name: str = settings.NAME,
    run_name: str | None = None,
    base_dir: str | os.PathLike[str] = settings.BASE_DIR,
    flush_interval_rows: int = settings.FLUSH_INTERVAL_ROWS,
    flush_interval_ms: int = settings.FLUSH_INTERVAL_MS,
    redirect_console: bool | Literal["wrap", "fd"] | None = None,
    project: str | None = None,
    tags: Sequence[str] | None = settings.TAGS,
    description: str | None = None,
    heartbeat_interval_secs: int = settings.HEARTBEAT_INTERVAL_SECS,
    group: str | None = None,
    rank: int | None = None,
    system_metrics_interval_secs: int | None = None,
    capture_provenance: bool | None = None,
    capture_diff: bool | None = None,
    *,
    suffix_if_taken: bool | None = None,
    language: str = settings.LANGUAGE,
    resume: Literal["never", "allow", "must"] = settings.RESUME,
    from_step: int | None = None,
    env_path: str = settings.ENV_PATH,
    max_buffer_bytes: int = settings.MAX_BUFFER_BYTES,
    overflow: Literal["block", "drop"] = settings.OVERFLOW,
    writer: str | None = None,
    python: str | None = None,
    hang_after_s: int = settings.HANG_AFTER_S,
    mirror: str | None = None,
    quiet: bool | None = None,
    config: object = None,
) -> Experiment:
    """Starts a run and makes it the current one of this thread, or of this asyncio task.

    Most runs need only `name`, `run_name` (a time stamp if left out), `base_dir`, `tags` and
    `config` (parameters to log). `help(expman.Experiment)` explains all settings.

    The run that the same thread or task made current before is ended first, with a warning.
    Threads and tasks that call no `init()` have the run of the one that started them, or the
    process's. `with expman.init(…) as run:` ends the run with the block.
    """
    given = dict(locals())
    config_of(given)  # a setting that cannot be used leaves the run before as it is
    before = current_run.end_own()
    was_open = before is not None and before.engine.is_open
    if before is not None:
        before.close()
    run = Experiment(**given)
    current_run.set_current(run)
    if before is not None and was_open:
        notices.warn(
            f"expman: init() ended run {before.run_dir}, because run {run.run_dir} begins in the "
            "same thread or task; call expman.close() before init(), or use Experiment for several "
            "runs at a time"
        )
    return run


def active_run(function: str) -> Experiment:
    """The current run; in a process that has EXPMAN_RUN in its environment, that one."""
    run = current_run.current()
    if run is None:
        address = os.environ.get(RUN_VARIABLE)
        if not address:
            raise NoActiveRunError(function)
        run = Experiment._attached(address)
        current_run.set_for_process(run)
    return run


def log(values: Mapping[str, object], step: int | None = None) -> None:
    """Logs a row of metrics to the current run; the same as `log_vector`."""
    active_run("log").log_vector(values, step)


def log_vector(values: Mapping[str, object], step: int | None = None) -> None:
    """Logs a row of metrics to the current run."""
    active_run("log_vector").log_vector(values, step)


def log_scalar(key: str, value: object) -> None:
    """Sets a single value of the current run."""
    active_run("log_scalar").log_scalar(key, value)


def log_params(params: object) -> None:
    """Records parameters of the current run."""
    active_run("log_params").log_params(params)


def save_artifact(path: str | os.PathLike[str], name: str | None = None) -> None:
    """Has a file copied into the current run."""
    active_run("save_artifact").save_artifact(path, name)


def info(message: str) -> None:
    """Adds an INFO line to the current run's log."""
    active_run("info").info(message)


def warn(message: str) -> None:
    """Adds a WARN line to the current run's log."""
    active_run("warn").warn(message)


def error(message: str) -> None:
    """Adds an ERROR line to the current run's log."""
    active_run("error").error(message)


def tensorboard_dir() -> str:
    """The current run's directory for event files of TensorBoard or a profiler; it is made."""
    return active_run("tensorboard_dir").tensorboard_dir


def close(status: RunStatus | str = "FINISHED", reason: str | None = None) -> None:
    """Ends the current run, if there is one.

    After a FlushError it may be called again, as `Experiment.close()` may.
    """
    run = current_run.current()
    if run is None:
        return
    try:
        run.close(status, reason)
    finally:
        if run.engine.has_ended:
            current_run.leave(run)


def fail(reason: str | None = None) -> None:
    """Ends the current run as FAILED."""
    close(RunStatus.FAILED, reason)
