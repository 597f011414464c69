"""console.log: what the program printed, a line for each of its lines.

[2026-01-31T12:00:00.000Z] [out] epoch 1: loss 0.5
[2026-01-31T12:00:00.250Z] [err worker-0] a warning
[2026-01-31T12:00:01.000Z] [lost] 12 lines were not recorded: the buffer was full

The second bracket has the stream, and the producer unless it is the owner. The time is that of the
line's end. A terminal's colors and cursor movements are left out; other control characters are
escapes, so that no line can forge another one or drive a terminal.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from expman.shown import count_of
from expman.storage.line_file import LineFile
from expman.storage.paths import CONSOLE_LOG
from expman.storage.runlog import safe_line, stamp
from expman.storage.times import parse_time

__all__ = [
    "ConsoleLine",
    "ConsoleLog",
    "count_lost",
    "format_console",
    "format_lost",
    "parse_console",
]

Stream: TypeAlias = Literal["out", "err", "lost"]

_LINE = re.compile(r"\[([^\]]*)\] \[(out|err|lost)(?: ([^\]]*))?\] ?(.*)")
_LOST = re.compile(r"\[[^\]]*\] \[lost[^\]]*\] ([\d,]+) lines? (?:was|were) not")
# Sequences of ECMA-48 (CSI), of xterm (OSC, up to BEL or ST), and two-character ones.
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")


class ConsoleLine(msgspec.Struct, frozen=True):
    """One line of console.log.

    Attributes:
        time: when the line ended; None if the file's time cannot be read.
        stream: "out", "err", or "lost" for a line about lines that could not be recorded.
        producer: who printed it: "main" for the run's owner, or the name of a worker.
        text: the line, without colors.
    """

    time: datetime | None
    stream: Stream
    producer: str
    text: str


def format_console(
    stream: str, producer: str, timestamp_ns: int, lines: Iterable[str]
) -> Iterator[str]:
    """Lines of the file, newlines included."""
    who = stream if producer == "main" else f"{stream} {producer}"
    start = f"[{stamp(timestamp_ns)}] [{safe_line(who)}] "
    for line in lines:
        yield f"{start}{safe_line(_ANSI.sub('', line))}\n"


def format_lost(producer: str, timestamp_ns: int, lines: int) -> str:
    """The line about lines that could not be recorded."""
    text = f"{count_of(lines, 'line was', 'lines were')} not recorded: the buffer was full"
    return "".join(format_console("lost", producer, timestamp_ns, [text]))


def count_lost(run_dir: str) -> int:
    """How many lines a console.log says that it lacks."""
    path = os.path.join(run_dir, CONSOLE_LOG)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = (_LOST.match(line) for line in file)
            return sum(int(match[1].replace(",", "")) for match in found if match is not None)
    except OSError:
        return 0


def parse_console(text: str) -> Iterator[ConsoleLine]:
    """Parses the text of a console.log; a torn last line and damaged ones are left out.

    expman-rs writes what was printed as it is: such lines have no time and count as "out".
    """
    for line in text.split("\n")[:-1]:
        match = _LINE.fullmatch(line)
        if match is None:
            yield ConsoleLine(None, "out", "main", safe_line(_ANSI.sub("", line)))
            continue
        time, stream, producer, printed = match.groups()
        # Our own writer leaves colors out; whoever else has written to the file may not.
        yield ConsoleLine(parse_time(time), stream, producer or "main", _ANSI.sub("", printed))  # type: ignore[arg-type]


class ConsoleLog(LineFile):
    """The console.log of one run. It is made with the first line."""

    file_name = CONSOLE_LOG
    point = "console"
