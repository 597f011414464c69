"""run.log: one line per message, which no message can forge.

[2026-01-31T12:00:00.000Z] [INFO] message
    continuation of the message
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from expman.models import LogLevel
from expman.storage.escapes import escape
from expman.storage.line_file import LineFile
from expman.storage.paths import RUN_LOG
from expman.storage.times import parse_time

__all__ = ["LogEntry", "RunLog", "format_line", "parse_log", "safe_line", "stamp"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENTRY = re.compile(r"\[([^\]]*)\] \[([A-Z]+)\] (.*)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def format_line(level: str, timestamp_ns: int, message: str) -> str:
    """One entry, newline included; continuation lines are indented by four spaces.

    Control characters, which could drive a terminal or end a line, become escapes.
    """
    lines = message.replace("\r\n", "\n").split("\n")
    safe = "\n    ".join(map(safe_line, lines))
    return f"[{stamp(timestamp_ns)}] [{safe_line(level)}] {safe}\n"


def safe_line(text: str) -> str:
    """The text with escapes for what could drive a terminal or end a line."""
    return _CONTROL.sub(lambda match: escape(match[0]), text)


def stamp(timestamp_ns: int) -> str:
    """A time as a line has it: UTC with milliseconds."""
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


class RunLog(LineFile):
    """The run.log of one run."""

    file_name = RUN_LOG
    point = "log"

    def append(self, lines: Sequence[tuple[str, int, str]]) -> None:
        """Appends (level, timestamp_ns, message) entries in one write.

        Durability: written when it returns; see `sync`.

        Raises:
            StorageError: nothing was appended; the same call can be made again.
        """
        self.append_text("".join(format_line(*line) for line in lines))
