"""The exceptions of expman.

ExpmanError
 ├─ ConfigError (ValueError)      a setting or a name that cannot be used
 ├─ RunExistsError                the run directory is already there
 ├─ ResumeError                   a run cannot go on
 ├─ RunClosedError                logging after close(), or after the run's end
 ├─ RunEndedError                 attaching to a run that has ended
 ├─ RecordTooLargeError           one record larger than max_buffer_bytes
 ├─ SharedMemoryError             no shared memory, nor a file in its place
 ├─ LayoutVersionError            a lane written by another layout version
 ├─ CorruptLaneError              bytes in a lane that do not make a record
 ├─ StorageError                  a file of the run cannot be written or read
 ├─ FlushError                    flush() or close(): not everything is durable, or rows are missing
 │   └─ ArtifactError             artifacts that could not be stored, and never will be
 └─ NoActiveRunError              a module-level function before expman.init()

A value that cannot be logged raises the built-in `TypeError` or `ValueError`.
Every class carries what it is about as attributes; every message includes what to do.
"""

from __future__ import annotations

import copyreg
import errno

from expman.shown import shown

__all__ = [
    "ArtifactError",
    "ConfigError",
    "CorruptLaneError",
    "ExpmanError",
    "FlushError",
    "LayoutVersionError",
    "NoActiveRunError",
    "RecordTooLargeError",
    "ResumeError",
    "RunClosedError",
    "RunEndedError",
    "RunExistsError",
    "SharedMemoryError",
    "StorageError",
]


class ExpmanError(Exception):
    """Base of every error that expman raises on its own account."""

    def __reduce__(self) -> tuple[object, ...]:
        # BaseException would call the class with its message; ours take other arguments, and
        # an error that cannot be unpickled breaks the pool of workers that it was raised in.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ConfigError(ExpmanError, ValueError):
    """A setting or a name cannot be used."""

    def __init__(self, setting: str, value: object, rule: str) -> None:
        super().__init__(f"{setting}={shown(value)}: {rule}")
        self.setting = setting
        self.value = value
        self.rule = rule


class RunExistsError(ExpmanError):
    """The run directory exists already, and runs are never mixed."""

    def __init__(self, run_dir: str) -> None:
        super().__init__(
            f"run directory {run_dir} exists already; choose another run_name, leave run_name "
            "out to get a fresh one, or pass resume='allow' to go on with this run"
        )
        self.run_dir = run_dir


class ResumeError(ExpmanError):
    """A run that was to go on cannot. Its files are as before."""

    def __init__(self, run_dir: str, why: str) -> None:
        super().__init__(f"run {run_dir} cannot go on: {why}")
        self.run_dir = run_dir
        self.why = why


class RunClosedError(ExpmanError):
    """The run has been closed; nothing was logged by this call."""

    def __init__(self, run_dir: str) -> None:
        super().__init__(f"run {run_dir} is closed; start another run to log more: expman.init(…)")
        self.run_dir = run_dir


class RunEndedError(ExpmanError):
    """The run of an address has ended, or never was."""

    def __init__(self, address: str) -> None:
        super().__init__(f"no run is at {address}: it has ended; attach while its owner runs")
        self.address = address


class RecordTooLargeError(ExpmanError):
    """One record does not fit into the whole buffer; nothing was logged by this call."""

    def __init__(self, record_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"record of {record_bytes} bytes is larger than max_buffer_bytes={limit_bytes}; "
            "raise max_buffer_bytes, or save the data as an artifact"
        )
        self.record_bytes = record_bytes
        self.limit_bytes = limit_bytes


class SharedMemoryError(ExpmanError):
    """No memory could be reserved for a lane, or no descriptor was left for it.

    Args:
        size_bytes: how much was asked for.
        tried: the places, and why each failed.
        code: errno of the last failure, if there is one.
    """

    def __init__(self, size_bytes: int, tried: list[str], code: int | None = None) -> None:
        if code in (errno.EMFILE, errno.ENFILE):
            advice = "close files, or raise the limit of open files (ulimit -n)"
        else:
            advice = "enlarge /dev/shm (docker run --shm-size), or point TMPDIR at a disk with room"
        super().__init__(
            f"cannot reserve {size_bytes} bytes for a lane ({'; '.join(tried)}); {advice}"
        )
        self.size_bytes = size_bytes
        self.tried = tried


class LayoutVersionError(ExpmanError):
    """A lane has another layout version than this expman reads."""

    def __init__(self, segment: str, found: int, expected: int) -> None:
        super().__init__(
            f"segment {segment} has layout version {found}, this expman reads {expected}; "
            "use the expman version that wrote it"
        )
        self.segment = segment
        self.found = found
        self.expected = expected


class CorruptLaneError(ExpmanError):
    """Bytes in a lane do not make a record."""

    def __init__(self, segment: str, offset: int, detail: str) -> None:
        super().__init__(f"segment {segment}, data offset {offset}: {detail}")
        self.segment = segment
        self.offset = offset
        self.detail = detail


class StorageError(ExpmanError):
    """A file of a run cannot be written or read; the rows concerned are kept and retried."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = path
        self.detail = detail


class FlushError(ExpmanError):
    """Not everything logged is durable; the message says where the data is."""

    def __init__(self, run_dir: str, detail: str, recovery: str) -> None:
        super().__init__(f"run {run_dir}: {detail}; {recovery}")
        self.run_dir = run_dir
        self.detail = detail
        self.recovery = recovery


class ArtifactError(FlushError):
    """Artifacts could not be stored; everything else is durable. Raised once for each."""

    def __init__(self, run_dir: str, artifacts: list[str], count: int) -> None:
        shown = "; ".join(artifacts)
        if count > len(artifacts):
            shown += f"{'; and ' if shown else ''}{count - len(artifacts)} more, see run.log"
        what = "an artifact" if count == 1 else f"{count} artifacts"
        super().__init__(
            run_dir,
            f"{what} could not be stored ({shown})",
            "everything else is durable; save what is missing again, or copy it yourself",
        )
        self.artifacts = artifacts
        self.count = count


class NoActiveRunError(ExpmanError):
    """A module-level function was called while no run is active."""

    def __init__(self, function: str) -> None:
        super().__init__(f"expman.{function}() needs a run; call expman.init(name) first")
        self.function = function
