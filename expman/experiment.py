"""Experiment: a run with the names and defaults of expman-rs."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from expman import settings
from expman.annotations import Annotations
from expman.attaching import attach
from expman.engine import DEFAULT_TIMEOUT_S, LoggingEngine
from expman.errors import ExpmanError
from expman.media import MediaCalls
from expman.media_values import Medium
from expman.models import ExperimentConfig, LogLevel, RunStatus
from expman.suggestions import counterpart_of, suggests_keywords

__all__ = ["Experiment", "config_of"]

_UNASKED = (
    ("quiet", False),
    ("redirect_console", True),
    ("system_metrics_interval_secs", 15),
    ("capture_provenance", True),
)
"""What an Experiment does and a LoggingEngine does not, where neither is asked."""


class Experiment(Annotations, MediaCalls):
    """One run, with the names and defaults that expman-rs users know.

    What is left out comes from its environment variable (`EXPMAN_…`), else from its default.

    Args:
        name: the experiment's name.
        run_name: the run's name; a time stamp if left out.
        base_dir: directory that holds all experiments.
        flush_interval_rows: rows after which the writer writes to disk.
        flush_interval_ms: milliseconds after which it writes whatever there is.
        redirect_console: record what Python prints to stdout and stderr, in console.log; True if
            left out.
        project: the project that the run belongs to, recorded in run.yaml.
        tags: recorded in run.yaml; one text is one tag.
        description: recorded in run.yaml.
        heartbeat_interval_secs: seconds after which run.yaml's `heartbeat_at` is renewed.
        group: what the runs of one job have in common; the launcher's job if left out.
        rank: number of this process in its job; the launcher's if left out.
        system_metrics_interval_secs: seconds between samples of the machine, in system.parquet;
            15 if left out, 0 for none.
        capture_provenance: record the code and the environment, in provenance.yaml; True if
            left out.
        capture_diff: record the uncommitted changes there, too.
        suffix_if_taken: give the run a suffix (`-1`, `-2`, …) where its directory exists
            already, instead of raising RunExistsError; True exactly if run_name is left out.
        language: recorded in run.yaml.
        resume: what becomes of a run that exists: "never" raises RunExistsError, "allow" goes on
            with it, "must" raises ResumeError if there is none. Needs `run_name`.
        from_step: the first step that a run that goes on will log: rows of earlier attempts from
            this step on are superseded.
        env_path: recorded in run.yaml; the path of this interpreter if left out.
        max_buffer_bytes: limit of shared memory for what waits for the writer, per producer.
        overflow: what a log call does once that much waits: "block" waits for the writer,
            "drop" drops the row and counts it.
        writer: address of a running `expman-writer`, or path of its ready file, instead of a
            writer of the run's own.
        python: path of the interpreter that runs the writer, where `sys.executable` is not one
            (a frozen application, a program that embeds Python).
        mirror: URL of an object store to which the run is copied: `s3://BUCKET/PREFIX`.
        hang_after_s: seconds without a row after which the stacks of all threads are recorded; 0:
            never.
        quiet: print nothing at the run's start and end; ranks above 0 print nothing anyway.
        config: parameters, logged as by `log_params`.

    Raises:
        ConfigError: a setting, or its variable, cannot be used.
        TypeError, ValueError: `config` cannot be logged; the run ends as FAILED.
        ExpmanError: as LoggingEngine does.
    """

    @suggests_keywords
    def __init__(
        self,
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
    ) -> None:
        self.engine = LoggingEngine(config_of(locals()))
        self._bind()
        if config is not None:
            try:
                self.log_params(config)
            except (TypeError, ValueError, ExpmanError) as exc:
                self.fail(f"{type(exc).__name__}: {exc}")
                raise

    if not TYPE_CHECKING:  # else mypy would take any name for an attribute

        def __getattr__(self, name: str) -> object:
            """Called for a name that a run does not have: the error names the one it has."""
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            if not name.startswith("_"):
                message += counterpart_of(name, dir(type(self)))
            raise AttributeError(message, name=name, obj=self)

    def _bind(self) -> None:
        self._project = self.engine.config.project
        self._params: dict[str | int, object] = {}
        # Shadows the methods below: saves a call for each row.
        self.log_vector = self.log = self.engine.log_vector  # type: ignore[method-assign]

    def log(self, values: Mapping[str, object], step: int | None = None) -> None:
        """Logs a row of metrics that belong together; the same as `log_vector`."""
        self.engine.log_vector(values, step)

    def log_vector(self, values: Mapping[str, object], step: int | None = None) -> None:
        """Logs a row of metrics that belong together. See LoggingEngine.

        Durability: published when it returns.
        """
        self.engine.log_vector(values, step)

    def log_scalar(self, key: str, value: object) -> None:
        """Sets a single value of the run; the latest one counts. See LoggingEngine."""
        self.engine.log_scalar(key, value)

    def log_params(self, params: object) -> None:
        """Records parameters; later calls merge at the top level. See LoggingEngine."""
        self._params.update(self.engine._record_params(params))

    @property
    def config(self) -> dict[str | int, object]:
        """The parameters that this process has recorded, as they are kept; a copy."""
        return copy.deepcopy(self._params)

    def save_artifact(
        self, path: str | os.PathLike[str], name: str | os.PathLike[str] | None = None
    ) -> None:
        """Keeps a file or a directory in `artifacts/`. See LoggingEngine."""
        self.engine.save_artifact(path, name)

    def flush(self, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> None:
        """Waits until everything this process logged before is durable. See LoggingEngine."""
        self.engine.flush(timeout_s)

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

    @property
    def project(self) -> str | None:
        """The project that the run belongs to, as this process knows it."""
        return self._project

    @property
    def group(self) -> str | None:
        """The group that the run belongs to, from its settings or its launcher."""
        return self.engine.config.group

    @property
    def rank(self) -> int | None:
        """Number of this process in its job, from 0; None if it is not part of one."""
        return self.engine.config.rank

    @property
    def is_primary(self) -> bool:
        """True if this is rank 0, or the only process of its job."""
        return not self.rank

    @property
    def tensorboard_dir(self) -> str:
        """A directory of the run for event files of TensorBoard or a profiler; it is made."""
        path = os.path.join(self.run_dir, "tensorboard")
        os.makedirs(path, exist_ok=True)
        return path

    def set_project(self, project: str | None) -> None:
        """Sets the project of the run and of its experiment. See LoggingEngine."""
        super().set_project(project)
        self._project = project

    def _publish(self, tag: int, *fields: object) -> None:
        self.engine._publish(tag, *fields)

    def _send_medium(self, kind: str, tag: str, step: object, medium: Medium) -> None:
        self.engine._send_medium(kind, tag, step, medium)

    def _send_histogram(
        self, tag: str, step: object, edges: list[float], counts: list[int], not_finite: int
    ) -> None:
        self.engine._send_histogram(tag, step, edges, counts, not_finite)

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


def config_of(given: Mapping[str, Any]) -> ExperimentConfig:
    """The config for the arguments of Experiment.

    Raises:
        ConfigError: as Experiment does.
    """
    config = ExperimentConfig(**{name: given[name] for name in ExperimentConfig.__struct_fields__})
    left_out = {name: default for name, default in _UNASKED if getattr(config, name) is None}
    return msgspec.structs.replace(config, **left_out) if left_out else config
