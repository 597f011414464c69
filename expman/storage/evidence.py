"""What the files of a run have about its present attempt, for a post-mortem.

Everything is read from the files. So the writer, `recover` and the command find the same, and each
fact has the file that it comes from.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import re
from itertools import islice
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from expman.metadata import RunMetadata
from expman.models import UNCAUGHT
from expman.storage.console_log import ConsoleLine, parse_console
from expman.storage.paths import (
    CONSOLE_LOG,
    RUN_LOG,
    STACKS,
    SYSTEM,
    VECTORS_PARQUET,
    open_regular,
    read_regular,
)
from expman.storage.postmortem import LastRow, thread_blocks
from expman.storage.runlog import LogEntry, parse_log
from expman.storage.stacks import fatal_tracebacks
from expman.storage.times import parse_time

__all__ = [
    "Evidence",
    "Nonfinite",
    "gather",
    "last_sample",
    "nonfinite_metrics",
    "place_in",
    "recent_log",
    "recorded_stacks",
    "stands_in",
    "without_number",
]

LAST_LINES = 20
_LIBRARY = re.compile(r"[/\\]lib[/\\]python\d|[/\\]site-packages[/\\]|\"<frozen ")
MOST_METRICS = 6
_MOST_GROUPS = 8
_MOST_ROWS = 20_000
"""Of each row group: the last ones are looked at."""
_MOST_BYTES = 4 * 1024 * 1024
"""Of run.log and console.log: their ends are read."""


class Nonfinite(msgspec.Struct, frozen=True):
    """For how long a metric has had no number.

    Attributes:
        first_step: step of the first NaN or infinity of all; None if that row has none.
        since_step: step of the first one since the last number; None if it is not known.
        rows: how many there are since, as far as was looked.
    """

    first_step: int | None
    since_step: int | None = None
    rows: int = 0


class Evidence(msgspec.Struct, frozen=True):
    """What the files have.

    Attributes:
        entries: the messages of run.log.
        exception: the traceback of the exception that ended the run.
        faults: process ids, and what faulthandler wrote in them or in what they forked.
        rows: the last row of each producer.
        nonfinite: see `PostMortem`.
        without_numbers: the same, with how long that has been so; the first ones.
        machine: the last sample.
        console: the last lines printed.
        stacks: files with recorded stacks.
    """

    entries: list[LogEntry] = []
    exception: str | None = None
    faults: list[tuple[int, str]] = []
    rows: list[LastRow] = []
    nonfinite: dict[str, int | None] = {}
    without_numbers: dict[str, Nonfinite] = {}
    machine: dict[str, float] = {}
    console: list[ConsoleLine] = []
    stacks: list[str] = []


def gather(run_dir: str, meta: RunMetadata) -> Evidence:
    """Reads what the files have about the present attempt of a run that has ended."""
    entries = recent_log(run_dir, meta)
    shown = [entry.message for entry in entries if entry.message.startswith(f"{UNCAUGHT}\n")]
    return Evidence(
        entries=entries,
        exception=shown[-1].removeprefix(f"{UNCAUGHT}\n") if shown else None,
        faults=fatal_tracebacks(run_dir),
        rows=_last_rows(run_dir, meta),
        nonfinite=nonfinite_metrics(meta),
        without_numbers=_without_numbers(run_dir, meta),
        machine=last_sample(run_dir, meta),
        console=_console(run_dir, meta),
        stacks=recorded_stacks(run_dir, meta),
    )


def _began(meta: RunMetadata) -> datetime.datetime | None:
    """When the present attempt began; None for the first one: all in the files is its own."""
    return parse_time(meta.attempt_started_at) if meta.attempt > 1 else None


def recent_log(run_dir: str, meta: RunMetadata) -> list[LogEntry]:
    """The last messages of run.log, those of earlier attempts left out."""
    began = _began(meta)
    entries = parse_log(_text(run_dir, RUN_LOG))
    return [one for one in entries if began is None or one.time is None or one.time >= began]


def nonfinite_metrics(meta: RunMetadata) -> dict[str, int | None]:
    """The step of the first NaN or infinity of each metric whose last value is one, too."""
    return {
        name: best.nonfinite_step
        for name, best in meta.best.items()
        if isinstance(best.last, float) and best.last - best.last != 0
    }


def without_number(rows: pa.Table, name: str, first_step: int | None) -> Nonfinite:
    """Looks how long a metric has had no number.

    Args:
        rows: the last rows, with `step` and the metric.
        name: the metric.
        first_step: see `Nonfinite`.
    """
    since, count = None, 0
    steps, values = rows["step"].to_pylist(), rows[name].to_pylist()
    for step, value in zip(reversed(steps), reversed(values), strict=True):
        if value is None:
            continue
        if not isinstance(value, float) or math.isfinite(value):
            return Nonfinite(first_step, since, count)
        since, count = step, count + 1
    is_all = since is not None and since == first_step
    return Nonfinite(first_step, since if is_all else None, count)


def _without_numbers(run_dir: str, meta: RunMetadata) -> dict[str, Nonfinite]:
    found = {}
    path = os.path.join(run_dir, VECTORS_PARQUET)
    for name, step in islice(nonfinite_metrics(meta).items(), MOST_METRICS):
        found[name] = Nonfinite(step)
        with contextlib.suppress(OSError, ValueError, KeyError), pq.ParquetFile(path) as file:
            groups = range(file.num_row_groups)[-_MOST_GROUPS:]
            rows = file.read_row_groups([*groups], columns=["step", name])
            rows = rows.slice(max(0, rows.num_rows - _MOST_ROWS))
            found[name] = without_number(rows, name, step)
    return found


def _text(run_dir: str, name: str) -> str:
    """The end of a file of lines, without the line that it begins in."""
    with contextlib.suppress(OSError):
        with os.fdopen(open_regular(os.path.join(run_dir, name)), "rb") as file:
            begin = max(0, file.seek(0, os.SEEK_END) - _MOST_BYTES)
            file.seek(begin)
            data = file.read(_MOST_BYTES)
        return (data.partition(b"\n")[2] if begin else data).decode("utf-8", "replace")
    return ""


def _console(run_dir: str, meta: RunMetadata) -> list[ConsoleLine]:
    began = _began(meta)
    lines = _text(run_dir, CONSOLE_LOG).split("\n")[-LAST_LINES - 1 :]
    found = parse_console("\n".join(lines))
    return [one for one in found if began is None or one.time is None or one.time >= began]


def recorded_stacks(run_dir: str, meta: RunMetadata) -> list[str]:
    """The files with stacks that were recorded, relative to the run; oldest first."""
    began = _began(meta)
    first = "" if began is None else f"{began:%Y%m%dT%H%M%SZ}"
    with contextlib.suppress(OSError):
        names = sorted(os.listdir(os.path.join(run_dir, STACKS)))
        return [f"{STACKS}/{name}" for name in names if name >= first]
    return []


def stands_in(run_dir: str, path: str) -> str | None:
    """Where the main thread of a process stood, by a file with its stacks; None if it is not known.

    `faulthandler` writes the newest thread first, and in each the innermost call first.
    """
    try:
        data = read_regular(os.path.join(run_dir, path), most_bytes=_MOST_BYTES)
    except OSError:
        return None
    blocks = [block for block in thread_blocks(data.decode("utf-8", "replace")) if "File " in block]
    return place_in(blocks[-1]) if blocks else None


def place_in(thread: str) -> str | None:
    """The innermost call of a thread, and the innermost one in a file of the user's."""
    lines = [line.strip() for line in thread.split("\n") if line.lstrip().startswith("File ")]
    own = next((line for line in lines if not _LIBRARY.search(line)), None)
    if not lines or own in (None, lines[0]):
        return lines[0] if lines else None
    return f"{lines[0]}, called from {own}"


def _last_rows(run_dir: str, meta: RunMetadata) -> list[LastRow]:
    """The last row of each producer, from the last row groups."""
    found: dict[str, LastRow] = {}
    end = parse_time(meta.finished_at or "")
    path = os.path.join(run_dir, VECTORS_PARQUET)
    with contextlib.suppress(OSError, ValueError, KeyError), pq.ParquetFile(path) as file:
        names = ["_producer", "_seq", "step", "timestamp"]
        names += ["_attempt"] if "_attempt" in file.schema_arrow.names else []
        for group in reversed(range(file.num_row_groups)[-_MOST_GROUPS:]):
            table = file.read_row_group(group, columns=names)
            table = table.slice(max(0, table.num_rows - _MOST_ROWS))
            for row in table.to_pylist():
                if row.get("_attempt", meta.attempt) == meta.attempt:
                    _note_row(found, row, end)
    return sorted(found.values(), key=lambda row: (row.producer != "main", row.producer))


def _note_row(
    found: dict[str, LastRow], row: dict[str, Any], end: datetime.datetime | None
) -> None:
    producer, rows, logged_at = row["_producer"], row["_seq"] + 1, row["timestamp"]
    known = found.get(producer)
    if known is None or rows > known.rows:
        ago = None
        if end is not None and logged_at is not None:
            ago = max(0.0, (end - logged_at).total_seconds())
        found[producer] = LastRow(producer, rows, row["step"], ago)


def last_sample(run_dir: str, meta: RunMetadata) -> dict[str, float]:
    """The last sample of the machine in system.parquet."""
    began = _began(meta)
    path = os.path.join(run_dir, f"{SYSTEM}.parquet")
    with contextlib.suppress(OSError, ValueError), pq.ParquetFile(path) as file:
        if file.num_row_groups:
            table = file.read_row_group(file.num_row_groups - 1)
            (last,) = table.slice(table.num_rows - 1).to_pylist()
            taken_at = last.get("timestamp")
            if began is not None and taken_at is not None and taken_at < began:
                return {}
            return {name: value for name, value in last.items() if isinstance(value, float)}
    return {}
