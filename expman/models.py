"""The model of an experiment: configuration, status, rows and metadata."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from enum import StrEnum
from itertools import islice
from typing import Literal, TypeAlias, TypeVar

import msgspec

from expman.errors import ConfigError
from expman.shown import shown

__all__ = [
    "ExperimentConfig",
    "ExperimentMetadata",
    "Host",
    "LogLevel",
    "MetricBest",
    "MetricValue",
    "Number",
    "Rank",
    "RunMetadata",
    "RunStatus",
    "VectorRow",
    "check_name",
    "reason_of",
    "safe_text",
]

MetricValue: TypeAlias = float | int | bool | str
"""What a metric may be: a float64, an integer, a boolean or text."""

Number: TypeAlias = float | int | bool
"""What has a least and a greatest value."""

MAX_NAME_BYTES = 255
MAX_TAGS = 1000
MIN_BUFFER_BYTES = 64 * 1024
_MAY_BE_NONE = ("description", "writer", "python", "group")
# None or '' where Python is embedded; a path may have bytes that are not UTF-8.
_INTERPRETER = (sys.executable or "").encode("utf-8", "backslashreplace").decode()


_Word = TypeVar("_Word", bound=StrEnum)


def _parse(kind: type[_Word], what: str, value: object) -> _Word:
    try:
        return kind(str(value).strip().upper())
    except Exception as exc:  # str() of a foreign object may raise anything
        known = ", ".join(kind)
        raise ValueError(f"{what} {shown(value)} is none of {known}") from exc


class RunStatus(StrEnum):
    """Where a run stands; all but RUNNING are final."""

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
    name: str
    base_dir: str = "experiments"


class ExperimentConfig(_Named, frozen=True, kw_only=True):
    """How a run is recorded. Immutable; checked when it is made.

    Attributes:
        name: the experiment's name, one directory name.
        base_dir: directory that holds all experiments; a path or an os.PathLike.
        run_name: the run's directory name; `YYYYmmdd_HHMMSS` (local time) if left out.
        suffix_if_taken: give the run a suffix (`-1`, `-2`, …) where its directory exists
            already, instead of raising RunExistsError. Defaults to True exactly if
            run_name was left out.
        flush_interval_rows: rows after which the writer writes to disk; not sooner than 50 ms
            after the last time, nor so often that it takes 2 % of a core, unless many wait.
        flush_interval_ms: milliseconds after which it writes whatever there is.
        language: recorded in run.yaml.
        env_path: recorded in run.yaml; the interpreter's path.
        tags: recorded in run.yaml; one text is one tag.
        description: recorded in run.yaml.
        max_buffer_bytes: limit of shared memory per producer.
        overflow: what a log call does once that much is waiting to be written: "block"
            waits for the writer, "drop" drops the row and counts it.
        writer: address of a running `expman-writer`, or path of its ready file, instead of
            a writer of the run's own. Defaults to the variable EXPMAN_WRITER, if it is set.
        python: path of the interpreter that runs the writer, where `sys.executable` is not one
            (a frozen application, a program that embeds Python). Defaults to the variable
            EXPMAN_PYTHON, if it is set.
        group: what runs of one job have in common; found out from the launcher
            (torchrun, SLURM, MPI, …) if left out.

    Raises:
        ConfigError: naming the setting, the value and the rule.
    """

    run_name: str | None = None
    suffix_if_taken: bool | None = None
    flush_interval_rows: int = 50
    flush_interval_ms: int = 500
    language: str = "python"
    env_path: str = _INTERPRETER
    tags: Sequence[str] = ()
    description: str | None = None
    max_buffer_bytes: int = 64 * 1024 * 1024
    overflow: Literal["block", "drop"] = "block"
    writer: str | None = None
    python: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        force = msgspec.structs.force_setattr
        force(self, "base_dir", _directory(self.base_dir))
        if self.suffix_if_taken is None:
            force(self, "suffix_if_taken", self.run_name is None)
        if self.run_name is None:
            force(self, "run_name", time.strftime("%Y%m%d_%H%M%S"))
        for setting in ("name", "run_name"):
            force(self, setting, check_name(setting, getattr(self, setting)))
        force(self, "tags", _tags(self.tags))
        _check_count("flush_interval_rows", self.flush_interval_rows, 1)
        _check_count("flush_interval_ms", self.flush_interval_ms, 1)
        _check_count("max_buffer_bytes", self.max_buffer_bytes, MIN_BUFFER_BYTES)
        for setting in ("language", "env_path", "description", "writer", "python", "group"):
            value = getattr(self, setting)
            if setting not in _MAY_BE_NONE or value is not None:
                force(self, setting, _check_text(setting, value))
        if self.overflow not in ("block", "drop"):
            raise ConfigError("overflow", self.overflow, 'must be "block" or "drop"')

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
    """A process's place in a job of many, as its launcher says.

    Attributes:
        rank: from 0, over all nodes.
        local_rank: from 0, on this node; None if the launcher does not say.
        world_size: number of ranks; None if the launcher does not say.
    """

    rank: int
    local_rank: int | None = None
    world_size: int | None = None


class MetricBest(msgspec.Struct, frozen=True):
    """The least, the greatest and the last number of a metric, each with the user's step.

    Attributes:
        min: the least value; NaN does not count. None if all are NaN.
        min_step: the first step with it; None if that row has no step.
        max: the greatest value; NaN does not count.
        max_step: the first step with it.
        last: the last value, which may be NaN.
        last_step: its step.
    """

    min: Number | None = None
    min_step: int | None = None
    max: Number | None = None
    max_step: int | None = None
    last: Number | None = None
    last_step: int | None = None


class RunMetadata(msgspec.Struct, kw_only=True):
    """What run.yaml says. Times are UTC in ISO 8601, durations in seconds."""

    name: str
    experiment: str
    status: RunStatus = RunStatus.RUNNING
    reason: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    duration_secs: float | None = None
    heartbeat_at: str | None = None
    description: str | None = None
    tags: list[str] | None = None
    scalars: dict[str, MetricValue] = {}
    vectors: dict[str, MetricValue] = {}
    best: dict[str, MetricBest] = {}
    language: str | None = None
    env_path: str | None = None
    rows_logged: int = 0
    rows_written: int = 0
    rows_dropped: int = 0
    rows_missing: int = 0
    artifacts_missing: int = 0
    lanes_unreadable: int = 0
    scalars_left_out: int = 0
    vectors_left_out: int = 0
    best_left_out: int = 0
    writer_restarts: int = 0
    buffer_high_water_bytes: int = 0
    group: str | None = None
    rank: Rank | None = None
    host: Host = Host()


class ExperimentMetadata(msgspec.Struct, kw_only=True):
    """What experiment.yaml says."""

    display_name: str | None = None
    description: str | None = None
    tags: list[str] = []


def check_name(setting: str, name: object) -> str:
    """Checks that a name is one plain directory name; returns it as plain text.

    Raises:
        ConfigError: naming the rule that is broken.
    """
    name = _check_text(setting, name)
    if not name:
        raise ConfigError(setting, name, "must not be empty")
    if name in (".", ".."):
        raise ConfigError(setting, name, "must not be . or ..")
    if "/" in name or os.sep in name or (os.altsep and os.altsep in name):
        raise ConfigError(setting, name, "must not contain a path separator")
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise ConfigError(setting, name, "must not contain NUL or other control characters")
    length = len(os.fsencode(name))
    if length > MAX_NAME_BYTES:
        raise ConfigError(
            setting, name, f"must not be longer than {MAX_NAME_BYTES} bytes, is {length}"
        )
    return name


def _check_text(setting: str, value: object) -> str:
    """The text itself, of the plain type: a subclass may have ideas of its own."""
    if not isinstance(value, str):
        raise ConfigError(setting, value, "must be text")
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogates: neither a record nor a file can hold them
        raise ConfigError(
            setting, value, "must be valid text: a path's bytes must be UTF-8, and the locale, too"
        ) from None
    return text


def _directory(value: object) -> str:
    try:
        text = os.fspath(value)  # type: ignore[call-overload]
    except TypeError:
        raise ConfigError("base_dir", value, "must be a path") from None
    if not isinstance(text, str) or not text or "\0" in text:
        raise ConfigError("base_dir", value, "must be a non-empty text path without NUL")
    return _check_text("base_dir", text)


def _tags(value: object) -> tuple[str, ...]:
    """One text is one tag; sets are sorted, since they have no order."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (_check_text("tags", value),)
    rule = "must be a text or some texts"
    if isinstance(value, Mapping | bytes) or not isinstance(value, Iterable):
        raise ConfigError("tags", value, rule)
    try:
        given = list(islice(value, MAX_TAGS + 1))
    except Exception as exc:  # a foreign object may raise anything
        raise ConfigError("tags", value, rule) from exc
    if len(given) > MAX_TAGS:
        raise ConfigError("tags", given[:3], f"must not be more than {MAX_TAGS}")
    tags = [_check_text("tags", tag) for tag in given]
    return tuple(sorted(tags) if isinstance(value, Set) else tags)


def _check_count(setting: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(setting, value, f"must be a whole number of at least {least}")


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
