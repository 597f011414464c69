"""The messages of a run, as its run.log holds them."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterator

import msgspec

from expman.models import LogLevel
from expman.storage import paths
from expman.storage.times import parse_time

__all__ = ["LogEntry", "parse_log", "read_log"]

_ENTRY = re.compile(r"\[([^\]]*)\] \[([A-Z]+)\] (.*)")


class LogEntry(msgspec.Struct, frozen=True):
    """One message of run.log.

    Attributes:
        time: when it was logged; None if the line's time cannot be read.
        level: its severity.
        message: the text, which may have several lines.
    """

    time: datetime.datetime | None
    level: LogLevel
    message: str


def read_log(run_dir: str) -> list[LogEntry]:
    """Reads the messages of run.log; none if there is no run.log.

    Raises:
        StorageError: it cannot be read.
    """
    path = os.path.join(run_dir, paths.RUN_LOG)
    try:
        fd = paths.open_regular(path, follow=True)
        with open(fd, encoding="utf-8", errors="replace", newline="\n") as file:
            return list(parse_log(file.read()))
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise paths.storage_error(path, exc) from exc


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
