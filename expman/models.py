"""The model of an experiment: configuration, status, rows and metadata."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, TypeAlias, TypeVar

import msgspec

from expman import settings
from expman.checks import LATEST
from expman.errors import ConfigError
from expman.shown import shown
from expman.suggestions import suggests_fields

__all__ = [
    "MAX_NESTING",
    "PROCESS_ENDED",
    "UNCAUGHT",
    "UNCAUGHT_IN",
    "ExperimentConfig",
    "Host",
    "LogLevel",
    "MetricValue",
    "Number",
    "Program",
    "Rank",
    "RunStatus",
    "VectorRow",
    "reason_of",
    "safe_text",
]

MetricValue: TypeAlias = float | int | bool | str
"""What a metric may be: a float64, an integer, a boolean or text."""

Number: TypeAlias = float | int | bool
"""What has a least and a greatest value."""

MAX_NESTING = 64
"""Levels of a parameter that are kept as structure; what lies deeper is kept as text."""

_LATEST_RULE = "stands for the newest run of an experiment; choose another name"
_Word = TypeVar("_Word", bound=StrEnum)


def _parse(kind: type[_Word], what: str, value: object) -> _Word:
    try:
        return kind(str(value).strip().upper())
    except Exception as exc:  # str() of a foreign object may raise anything
        known = ", ".join(kind)
        raise ValueError(f"{what} {shown(value)} is not known; use one of {known}") from exc


class RunStatus(StrEnum):
    """State of a run; all but RUNNING are final."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"

    @classmethod
    def parse(cls, value: RunStatus | str) -> RunStatus:
        """Reads a status in any letter case.

        Raises:
            ValueError: if it names no status.
        """
        return _parse(cls, "status", value)

    @classmethod
    def parse_final(cls, value: RunStatus | str) -> RunStatus:
        """Reads a status that a run can end with.

        Raises:
            ValueError: it is not FINISHED, FAILED or CRASHED.
        """
        try:
            status = cls.parse(value)
        except ValueError:
            status = cls.RUNNING
        if status is cls.RUNNING:
            raise ValueError(
                f"a run cannot end with status {shown(value)}; use FINISHED, FAILED or CRASHED"
            )
        return status


class LogLevel(StrEnum):
    """Severity of a line in run.log."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"

    @classmethod
    def parse(cls, value: LogLevel | str) -> LogLevel:
        """Reads a level in any letter case.

        Raises:
            ValueError: if it names no level.
        """
        return _parse(cls, "level", value)


class VectorRow(msgspec.Struct, frozen=True):
    """One logged row: metrics that were measured together.

    Attributes:
        values: metric name to value; a metric that is absent was not logged in this row.
        step: the user's step, or None.
        timestamp_ns: nanoseconds since the Unix epoch, taken at the call.
        producer: who logged it, "main" for the run's owner.
        seq: number of the row among its producer's rows, from 0.
    """

    values: dict[str, MetricValue]
    step: int | None
    timestamp_ns: int
    producer: str
    seq: int


class _Named(msgspec.Struct, frozen=True):
    name: str = settings.NAME
    base_dir: str = settings.BASE_DIR


class ExperimentConfig(
    _Named,
    frozen=True,
    kw_only=True,
    metaclass=suggests_fields(type(msgspec.Struct)),  # type: ignore[metaclass]
):
    """Settings of a run. Immutable; checked when it is made.

    What is left out comes from its environment variable (`EXPMAN_…`), else from its default. See
    the reference of settings for the variables.

    Attributes:
        name: the experiment's name, one directory name.
        base_dir: directory that holds all experiments; a path or an os.PathLike.
        run_name: the run's directory name; `YYYYmmdd_HHMMSS` (local time) if left out. Not
            `latest`, which stands for the newest run.
        suffix_if_taken: give the run a suffix (`-1`, `-2`, …) where its directory exists
            already, instead of raising RunExistsError; `latest` counts as taken. Defaults to
            True exactly if run_name was left out.
        resume: what becomes of a run that exists: "never" raises RunExistsError, "allow" goes on
            with it, and "must" raises ResumeError if there is none. Needs `run_name`.
        from_step: the first step that will be logged, for a run that goes on: rows of earlier
            attempts with this step or a later one are superseded. None: none are.
        flush_interval_rows: rows after which the writer writes to disk; not sooner than 50 ms
            after the last time, nor so often that it takes 2 % of a core, unless many wait.
        flush_interval_ms: milliseconds after which it writes whatever there is.
        language: recorded in run.yaml.
        env_path: recorded in run.yaml; the path of this interpreter if left out.
        project: recorded in run.yaml.
        tags: recorded in run.yaml; one text is one tag.
        description: recorded in run.yaml.
        max_buffer_bytes: limit of shared memory per producer.
        overflow: what a log call does once that much is waiting to be written: "block"
            waits for the writer, "drop" drops the row and counts it.
        writer: address of a running `expman-writer`, or path of its ready file, instead of
            a writer of the run's own.
        python: path of the interpreter that runs the writer, where `sys.executable` is not one
            (a frozen application, a program that embeds Python).
        redirect_console: record what Python prints to stdout and stderr, in console.log. None: an
            Experiment does, a LoggingEngine does not.
        heartbeat_interval_secs: seconds after which run.yaml's `heartbeat_at` is renewed.
        system_metrics_interval_secs: seconds between samples of the machine and the process tree;
            0: none. None: 15 for an Experiment, 0 for a LoggingEngine.
        capture_provenance: record the code and the environment of the run. None: an Experiment
            does, a LoggingEngine does not.
        capture_diff: record the uncommitted changes and small untracked files, too.
        group: what runs of one job have in common; found out from the launcher
            (torchrun, SLURM, MPI, …) if left out.
        rank: number of this process in its job, from 0; found out from the launcher if left out.
        mirror: URL of an object store to which the run is copied about once a minute, and at its
            end: `s3://BUCKET/PREFIX` and the like.
        hang_after_s: seconds without a row, or 20 times the usual if that is longer, after which
            the stacks of all threads are recorded; 0: never.
        quiet: print nothing at the run's start and end. None: an Experiment prints, a
            LoggingEngine does not.

    Raises:
        ConfigError: naming the setting or the variable, the value and the rule.
    """

    run_name: str | None = None
    suffix_if_taken: bool | None = None
    resume: Literal["never", "allow", "must"] = settings.RESUME
    from_step: int | None = None
    flush_interval_rows: int = settings.FLUSH_INTERVAL_ROWS
    flush_interval_ms: int = settings.FLUSH_INTERVAL_MS
    language: str = settings.LANGUAGE
    env_path: str = settings.ENV_PATH
    project: str | None = None
    tags: Sequence[str] = settings.TAGS
    description: str | None = None
    max_buffer_bytes: int = settings.MAX_BUFFER_BYTES
    overflow: Literal["block", "drop"] = settings.OVERFLOW
    writer: str | None = None
    python: str | None = None
    group: str | None = None
    rank: int | None = None
    redirect_console: bool | Literal["wrap", "fd"] | None = None
    heartbeat_interval_secs: int = settings.HEARTBEAT_INTERVAL_SECS
    system_metrics_interval_secs: int | None = None
    capture_provenance: bool | None = None
    capture_diff: bool | None = None
    hang_after_s: int = settings.HANG_AFTER_S
    mirror: str | None = None
    quiet: bool | None = None

    def __post_init__(self) -> None:
        has_own_name = self.run_name is not None
        for name in self.__struct_fields__:
            value = settings.resolve(name, getattr(self, name))
            msgspec.structs.force_setattr(self, name, value)
        if self.resume != "never":
            if self.run_name is None:
                raise ConfigError("resume", self.resume, "name the run that goes on: run_name=…")
            msgspec.structs.force_setattr(self, "suffix_if_taken", False)
        if self.run_name is None:
            msgspec.structs.force_setattr(self, "run_name", time.strftime("%Y%m%d_%H%M%S"))
        if self.run_name == LATEST and not self.suffix_if_taken:
            label = "run_name" if has_own_name else settings.SETTINGS["run_name"].variable
            raise ConfigError(label or "", LATEST, _LATEST_RULE)
        if self.suffix_if_taken is None:
            msgspec.structs.force_setattr(self, "suffix_if_taken", not has_own_name)

    @property
    def experiment_dir(self) -> str:
        """Directory of the experiment."""
        return os.path.join(self.base_dir, self.name)

    @property
    def run_dir(self) -> str:
        """Directory of the run."""
        return os.path.join(self.base_dir, self.name, self.run_name or "")


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """Identifies the host, so that another process can decide whether the run is alive.

    Attributes:
        hostname: the machine's or container's name.
        machine_id: of the installed system (/etc/machine-id); "" if there is none.
        boot_id: changes at each start of the machine.
        memory_id: device and inode of the directory with the shared memory.
        uid: user id of the owner, who alone can open its shared memory; None in files of
            earlier versions.
        pid: process id of the owner, in its own PID namespace.
    """

    hostname: str = ""
    machine_id: str = ""
    boot_id: str = ""
    memory_id: str = ""
    uid: int | None = None
    pid: int = 0


class Rank(msgspec.Struct, frozen=True, kw_only=True):
    """A process's place in a job of many, from its settings or its launcher.

    Attributes:
        rank: from 0, over all nodes.
        local_rank: from 0, on this node; None if the launcher does not set it.
        world_size: number of ranks; None if the launcher does not set it.
    """

    rank: int
    local_rank: int | None = None
    world_size: int | None = None


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """Describes the program that owns a run, so that the writer can say what it was.

    Attributes:
        cwd: the working directory when the run began.
        argv: `sys.argv`.
        python: version of the interpreter.
        path: directories from which it imports.
        began_ticks: when its process began, in clock ticks since the boot: with the pid it
            identifies the process, from another PID namespace, too. 0 if that is not known.
    """

    cwd: str = ""
    argv: tuple[str, ...] = ()
    python: str = ""
    path: tuple[str, ...] = ()
    began_ticks: int = 0


UNCAUGHT = "an exception ended the run:"
"""First line of the message in run.log that has the traceback of what ended the program."""
UNCAUGHT_IN = "an exception ended process "
"""The same for a worker; its process id and a colon follow."""
PROCESS_ENDED = "a process of the run has ended: "
"""A line of run.log about a producer that ended before the run, and not well, begins like this."""


def reason_of(exc: BaseException) -> str:
    """The type and the text of an error in at most 500 characters, also if it has no text."""
    try:
        return f"{type(exc).__name__}: {exc}"[:500]
    except Exception as worse:  # noqa: BLE001 - the text of a foreign error may raise anything
        return f"{type(exc).__name__}, whose text fails with {type(worse).__name__}"


def safe_text(text: str) -> str:
    """The text as UTF-8 can hold it: lone surrogates become `\\udc80`-like escapes.

    Names of files that are no UTF-8 have such surrogates, and so have messages with them.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text
