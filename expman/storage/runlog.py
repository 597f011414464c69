"""run.log: one line per message, which no message can forge.

[2026-01-31T12:00:00.000Z] [INFO] message
    continuation of the message
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from expman.failpoints import hit
from expman.models import LogLevel
from expman.storage.appendfile import AppendFile
from expman.storage.escapes import escape
from expman.storage.paths import (
    RUN_LOG,
    IrregularFileError,
    open_regular,
    storage_error,
)
from expman.storage.times import parse_time

__all__ = ["LogEntry", "RunLog", "format_line", "parse_log"]

_BLOCK_BYTES = 64 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENTRY = re.compile(r"\[([^\]]*)\] \[([A-Z]+)\] (.*)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_KEPT_BYTES = 1024 * 1024
"""No more lines than that are kept in memory until they are durable."""


def format_line(level: str, timestamp_ns: int, message: str) -> str:
    """One entry, newline included; continuation lines are indented by four spaces.

    Control characters, which could drive a terminal or end a line, become escapes.
    """
    lines = message.replace("\r\n", "\n").split("\n")
    safe = "\n    ".join(map(_safe, lines))
    return f"[{_stamp(timestamp_ns)}] [{_safe(level)}] {safe}\n"


def _safe(text: str) -> str:
    return _CONTROL.sub(lambda match: escape(match[0]), text)


def _stamp(timestamp_ns: int) -> str:
    try:
        moment = _EPOCH + timedelta(milliseconds=timestamp_ns // 1_000_000)
    except OverflowError:  # a clock beyond the year 9999
        return f"{timestamp_ns} ns"
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class LogEntry(msgspec.Struct, frozen=True):
    """One message of run.log.

    Attributes:
        time: when it was logged; None if the line's time cannot be read.
        level: its severity.
        message: the text, which may have several lines.
    """

    time: datetime | None
    level: LogLevel
    message: str


def parse_log(text: str) -> Iterator[LogEntry]:
    """Parses the text of a run.log; a torn last line is left out.

    A line that does not begin an entry continues the entry before it.
    """
    entry: LogEntry | None = None
    for line in text.split("\n"):
        match = _ENTRY.fullmatch(line)
        if match is not None:
            if entry is not None:
                yield entry
            level = LogLevel(match[2]) if match[2] in LogLevel.__members__ else LogLevel.INFO
            entry = LogEntry(parse_time(match[1]), level, match[3])
        elif entry is not None and line:
            entry = msgspec.structs.replace(
                entry, message=f"{entry.message}\n{line.removeprefix('    ')}"
            )
    if entry is not None:
        yield entry


class _LogFile(AppendFile):
    sync_point = "log-sync"


class RunLog:
    """The run.log of one run."""

    def __init__(self, run_dir: str) -> None:
        self.path = os.path.join(run_dir, RUN_LOG)
        self._file = _LogFile(self.path)

    def create(self) -> None:
        """Makes an empty file unless there is one, so that it can be followed from the start.

        If that fails, the first append raises the reason.
        """
        with contextlib.suppress(OSError):
            self._file.open_or_replace()
            self._file.close()

    def append(self, lines: Sequence[tuple[str, int, str]]) -> None:
        """Appends (level, timestamp_ns, message) entries in one write.

        Durability: written when it returns; see `sync`.

        Raises:
            StorageError: nothing was appended; the same call can be made again.
        """
        if not lines:
            return
        text = "".join(format_line(*line) for line in lines)
        data = text.encode("utf-8", "backslashreplace")
        if self._file.kept_bytes > _KEPT_BYTES:
            self.sync()
        try:
            if self._file.was_removed:
                self._file.forget()
            if not self._file.is_open:
                self._file.open_or_replace()
            with self._file.appending() as write:
                hit("log-before-append")
                write(data, "log-half-appended")
                hit("log-after-append")
        except OSError as exc:
            raise storage_error(self.path, exc) from exc

    def size(self) -> int:
        """Bytes in the file; 0 if there is none."""
        try:
            return os.lstat(self.path).st_size
        except FileNotFoundError:
            return 0
        except OSError as exc:
            raise storage_error(self.path, exc) from exc

    def truncate(self, size: int) -> None:
        """Cuts the file to `size` bytes; it never makes it longer."""
        if self.size() <= size:
            return
        self.sync()
        self._file.forget()
        try:
            fd = open_regular(self.path, os.O_WRONLY)
            try:
                os.ftruncate(fd, size)
            finally:
                os.close(fd)
        except OSError as exc:
            raise storage_error(self.path, exc) from exc

    def mend(self) -> None:
        """Cuts off the zeros that a machine crash left, and ends a torn line.

        Raises:
            StorageError: it cannot be done.
        """
        try:
            fd = open_regular(self.path, os.O_RDWR)
        except (FileNotFoundError, IrregularFileError):
            return
        except OSError as exc:
            raise storage_error(self.path, exc) from exc
        try:
            size, tail = os.fstat(fd).st_size, b""
            while size and not tail:
                start = max(0, size - _BLOCK_BYTES)
                tail = os.pread(fd, size - start, start).rstrip(b"\0")
                size = start + len(tail)
            os.ftruncate(fd, size)
            if tail and not tail.endswith(b"\n"):
                os.pwrite(fd, b"\n", size)
        except OSError as exc:
            raise storage_error(self.path, exc) from exc
        finally:
            os.close(fd)

    def sync(self) -> None:
        """Makes what was appended durable. A log that does not exist is.

        Raises:
            StorageError: it is not; what was appended is kept in memory for the next call.
        """
        file = self._file
        if file.synced and not file.has_new_name:
            return
        try:
            if not file.is_open:
                file.open(create=False)
            file.sync()
            file.sync_name()
            file.close()
        except FileNotFoundError as exc:
            if not os.path.isdir(os.path.dirname(self.path)):
                raise storage_error(self.path, exc) from exc
            file.close()  # there is none, or somebody deleted it
        except OSError as exc:
            raise storage_error(self.path, exc) from exc

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
