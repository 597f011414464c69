"""Report on a run that crashed, failed or hung: postmortem.json, and .md for people.

Everything comes from the run's files, when they are final. So a writer and `recover` find the same,
and each fact has the file that it comes from.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
import pyarrow.parquet as pq

from expman.errors import StorageError
from expman.metadata import RunMetadata
from expman.models import UNCAUGHT, RunStatus
from expman.shown import count_of
from expman.storage.console_log import parse_console
from expman.storage.paths import (
    CONSOLE_LOG,
    POST_MORTEM_JSON,
    POST_MORTEM_MD,
    RUN_LOG,
    STACKS,
    SYSTEM,
    VECTORS_PARQUET,
    open_regular,
    read_regular,
    replace_file,
)
from expman.storage.runlog import LogEntry, parse_log
from expman.storage.stacks import NO_ROWS, fatal_tracebacks
from expman.storage.times import parse_time

__all__ = [
    "Fact",
    "LastRow",
    "PostMortem",
    "describe",
    "read_post_mortem",
    "thread_blocks",
    "write_post_mortem",
]

LAST_LINES = 20
_MOST_GROUPS = 8
_MOST_ROWS = 20_000
"""Of each row group: the last ones are looked at."""
_MOST_ALIKE = 6
"""Facts of one kind; so the report is a screen also with thousands of metrics or producers."""
_MOST_CHARACTERS = 300
_MOST_BYTES = 4 * 1024 * 1024
"""Of run.log and console.log: their ends are read."""
_OUT_OF_MEMORY = re.compile(r"the kernel killed|ran out of memory")
_OWN_THREADS = re.compile(r"[/\\]expman[/\\](launch|capture|notices)")
_FULL = 0.95
_MEMORIES = (
    ("the memory of the machine", "mem.used_gb", "mem.total_gb"),
    ("the memory of the cgroup", "cgroup.mem_used_gb", "cgroup.mem_limit_gb"),
    ("/dev/shm", "shm.used_gb", "shm.total_gb"),
)


class Fact(msgspec.Struct, frozen=True):
    """Something that is known, and where from.

    Attributes:
        text: one sentence.
        source: the file, relative to the run's directory.
    """

    text: str
    source: str


class LastRow(msgspec.Struct, frozen=True):
    """The last row of a producer.

    Attributes:
        producer: its name.
        rows: how many it has logged, as its last row is numbered.
        step: the user's step.
        seconds_before_end: how long before the end of the run it was logged.
    """

    producer: str
    rows: int
    step: int | None
    seconds_before_end: float | None


class PostMortem(msgspec.Struct, frozen=True):
    """The content of postmortem.json.

    Attributes:
        status: CRASHED or FAILED; FINISHED for a run that hung and went on.
        reason: why, in one line.
        ended_at: UTC, ISO 8601.
        facts: what is known, the most telling first.
        last_rows: the last row of each producer.
        nonfinite: the step of the first value of each metric that was NaN or infinite, if the last
            one is, too.
        traceback: of the Python exception that ended the run.
        fatal_traceback: of a fault such as SIGSEGV, by threads.
        machine: the last sample of the machine.
        console: the last lines that the program printed.
        log: the last lines of run.log.
        stacks: files with the stacks that were recorded.
    """

    status: str
    reason: str | None
    ended_at: str | None
    facts: list[Fact]
    last_rows: list[LastRow]
    nonfinite: dict[str, int | None]
    traceback: str | None
    fatal_traceback: str | None
    machine: dict[str, float]
    console: list[str]
    log: list[str]
    stacks: list[str]


def write_post_mortem(run_dir: str, meta: RunMetadata) -> None:
    """Writes both files if the run crashed, failed or hung.

    Args:
        run_dir: the run's directory; its other files are final.
        meta: what run.yaml says.

    Raises:
        StorageError: they cannot be written.
    """
    has_hung = os.path.isdir(os.path.join(run_dir, STACKS))
    if meta.status is RunStatus.FINISHED and not has_hung:
        return
    found = _examine(run_dir, meta)
    path = os.path.join(run_dir, POST_MORTEM_JSON)
    replace_file(path, msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    replace_file(os.path.join(run_dir, POST_MORTEM_MD), describe(meta.name, found).encode())


def read_post_mortem(run_dir: str) -> PostMortem | None:
    """Reads postmortem.json; None if there is none.

    Raises:
        StorageError: it is damaged or cannot be read.
    """
    path = os.path.join(run_dir, POST_MORTEM_JSON)
    try:
        return msgspec.json.decode(read_regular(path, follow=True), type=PostMortem)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as exc:
        raise StorageError(path, str(exc)) from exc


def _examine(run_dir: str, meta: RunMetadata) -> PostMortem:
    entries = list(parse_log(_text(run_dir, RUN_LOG)))
    rows = _last_rows(run_dir, meta)
    machine = _last_sample(run_dir)
    nonfinite = {
        name: best.nonfinite_step
        for name, best in meta.best.items()
        if isinstance(best.last, float) and best.last - best.last != 0
    }
    shown = [entry.message for entry in entries if entry.message.startswith(f"{UNCAUGHT}\n")]
    exception = shown[-1].removeprefix(f"{UNCAUGHT}\n") if shown else None
    fatal = fatal_tracebacks(run_dir)
    stacks = _stacks(run_dir)
    facts = list(_facts(meta, entries, exception, fatal, rows, nonfinite, machine, stacks))
    return PostMortem(
        status=str(meta.status),
        reason=meta.reason,
        ended_at=meta.finished_at,
        facts=facts,
        last_rows=rows,
        nonfinite=nonfinite,
        traceback=exception,
        fatal_traceback=fatal[-1][1] if fatal else None,
        machine=machine,
        console=[_printed(line) for line in _console(run_dir)[-LAST_LINES:]],
        log=[f"{entry.level}: {entry.message}" for entry in entries[-LAST_LINES:]],
        stacks=stacks,
    )


def _facts(
    meta: RunMetadata,
    entries: list[LogEntry],
    exception: str | None,
    fatal: list[tuple[int, str]],
    rows: list[LastRow],
    nonfinite: dict[str, int | None],
    machine: dict[str, float],
    stacks: list[str],
) -> Iterator[Fact]:
    for pid, text in fatal[-_MOST_ALIKE:]:
        first = text.partition("\n")[0].removeprefix("Fatal Python error: ")
        place = next((line.strip() for line in text.split("\n") if "File " in line), "")
        yield Fact(f"pid {pid} died of a fault: {first}, {_thread_of(text) or place}", STACKS)
    last = (exception or "").rstrip().rpartition("\n")[2]
    is_the_reason = last != "" and (meta.reason or "").startswith(last)  # with its place, too
    if is_the_reason:
        yield Fact(f"an exception was raised: {meta.reason}", "run.yaml")
    elif exception is not None:
        yield Fact(f"an exception was raised: {last}", RUN_LOG)
    for entry in entries:
        if _OUT_OF_MEMORY.search(entry.message) and "run CRASHED" not in entry.message:
            yield Fact(entry.message, RUN_LOG)
    if meta.reason and not is_the_reason:
        yield Fact(meta.reason, "run.yaml")
    for what, used, total in _MEMORIES:
        share = machine.get(used, 0.0) / (machine.get(total) or math.inf)
        if share >= _FULL:
            yield Fact(f"{what} was {share:.0%} full in the last sample", f"{SYSTEM}.parquet")
    for name, step in islice(nonfinite.items(), _MOST_ALIKE):
        since = f" since step {step}" if step is not None else ""
        yield Fact(f"{name} has been NaN or infinite{since}", "run.yaml")
    if (more := len(nonfinite) - _MOST_ALIKE) > 0:
        yield Fact(f"so have {count_of(more, 'other metric')}", "run.yaml")
    yield from _stalls(meta, entries, stacks)
    if meta.status is RunStatus.CRASHED and exception is None and not fatal:
        yield Fact(
            "the process left no exception, no exit status and no fault: it was killed by a signal "
            "such as SIGKILL or SIGTERM (the kernel, a scheduler or a person), or the machine "
            "stopped",
            RUN_LOG,
        )
    for row in rows[:_MOST_ALIKE]:
        before = row.seconds_before_end
        ago = "" if before is None else f", {before:.1f} s before the end"
        which = "" if row.step is None else f" with step {row.step}"
        text = f"{row.producer} logged {count_of(row.rows, 'row')}, the last one{which}{ago}"
        yield Fact(text, VECTORS_PARQUET)
    if (more := len(rows) - _MOST_ALIKE) > 0:
        yield Fact(f"{count_of(more, 'other producer')} logged rows", VECTORS_PARQUET)
    if meta.rows_missing:
        yield Fact(count_of(meta.rows_missing, "row is missing", "rows are missing"), "run.yaml")


def _stalls(meta: RunMetadata, entries: list[LogEntry], stacks: list[str]) -> Iterator[Fact]:
    """Who stood still: at the end, or before."""
    if meta.stalled_since:
        yield Fact(f"rows were missing since {meta.stalled_since}", "run.yaml")
    elif stacks:
        yield Fact("the run stood still for a time, and went on", RUN_LOG)
    for entry in [entry for entry in entries if entry.message.startswith(NO_ROWS)][-_MOST_ALIKE:]:
        yield Fact(entry.message, RUN_LOG)


def _text(run_dir: str, name: str) -> str:
    """The end of a file of lines, without the line that it begins in."""
    with contextlib.suppress(OSError):
        with os.fdopen(open_regular(os.path.join(run_dir, name)), "rb") as file:
            begin = max(0, file.seek(0, os.SEEK_END) - _MOST_BYTES)
            file.seek(begin)
            data = file.read(_MOST_BYTES)
        return (data.partition(b"\n")[2] if begin else data).decode("utf-8", "replace")
    return ""


def _console(run_dir: str) -> list[Any]:
    lines = _text(run_dir, CONSOLE_LOG).split("\n")[-LAST_LINES - 1 :]
    return list(parse_console("\n".join(lines)))


def _printed(line: Any) -> str:
    who = line.stream if line.producer == "main" else f"{line.stream} {line.producer}"
    return f"[{who}] {line.text}"


def _stacks(run_dir: str) -> list[str]:
    with contextlib.suppress(OSError):
        return [f"{STACKS}/{name}" for name in sorted(os.listdir(os.path.join(run_dir, STACKS)))]
    return []


def _last_rows(run_dir: str, meta: RunMetadata) -> list[LastRow]:
    """The last row of each producer, from the last row groups."""
    found: dict[str, LastRow] = {}
    end = parse_time(meta.finished_at or "")
    names = ["_producer", "_seq", "step", "timestamp"]
    path = os.path.join(run_dir, VECTORS_PARQUET)
    with contextlib.suppress(OSError, ValueError, KeyError), pq.ParquetFile(path) as file:
        for group in reversed(range(file.num_row_groups)[-_MOST_GROUPS:]):
            table = file.read_row_group(group, columns=names)
            table = table.slice(max(0, table.num_rows - _MOST_ROWS))
            columns = [table[name].to_pylist() for name in names]
            for producer, seq, step, logged_at in zip(*columns, strict=True):
                known = found.get(producer)
                if known is None or seq + 1 > known.rows:
                    ago = None
                    if end is not None and logged_at is not None:
                        ago = max(0.0, (end - logged_at).total_seconds())
                    found[producer] = LastRow(producer, seq + 1, step, ago)
    return sorted(found.values(), key=lambda row: (row.producer != "main", row.producer))


def _last_sample(run_dir: str) -> dict[str, float]:
    path = os.path.join(run_dir, f"{SYSTEM}.parquet")
    with contextlib.suppress(OSError, ValueError), pq.ParquetFile(path) as file:
        if file.num_row_groups:
            table = file.read_row_group(file.num_row_groups - 1)
            (last,) = table.slice(table.num_rows - 1).to_pylist()
            return {name: value for name, value in last.items() if isinstance(value, float)}
    return {}


def thread_blocks(text: str) -> list[str]:
    """The threads in what faulthandler wrote, without those of expman itself."""
    blocks = re.split(r"\n(?=Thread 0x|Current thread 0x)", text)
    return [block.rstrip() for block in blocks if block.strip() and not _OWN_THREADS.search(block)]


def _thread_of(text: str) -> str:
    """The first place of the thread that had the fault."""
    match = re.search(r"Current thread 0x\w+[^\n]*\n\s*(File [^\n]+)", text)
    return match[1] if match else ""


def _short(text: str) -> str:
    text = text.replace("\n", " ")
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def describe(name: str, found: PostMortem) -> str:
    """The text for people: at most about a screen."""
    lines = [f"# {name}: {found.status}", ""]
    lines += [f"- {_short(fact.text)} ({fact.source})" for fact in found.facts]
    if found.traceback:
        shown = map(_short, found.traceback.split("\n")[-12:])
        lines += ["", "## Exception", "", "```", *shown, "```"]
    if found.fatal_traceback:
        blocks = thread_blocks(found.fatal_traceback)
        fault = [block for block in blocks if "Current thread" in block]
        frames = "\n".join(fault).partition("\n\nExtension modules:")[0].split("\n")
        lines += ["", "## Fault", "", "```", *frames[:12], "```"]
    if found.stacks:
        lines += ["", "## Stacks", "", *(f"- {path}" for path in found.stacks[-4:])]
    printed = [line for line in found.console if not _is_of(line, found.traceback)]
    if printed:
        lines += ["", "## Printed last", "", "```", *map(_short, printed[-6:]), "```"]
    return "\n".join(lines) + "\n"


def _is_of(printed: str, traceback: str | None) -> bool:
    """Whether a printed line is part of the traceback, which is shown already."""
    return traceback is not None and printed.partition("] ")[2] in traceback.split("\n")
