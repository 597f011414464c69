"""Makes the post-mortem of a run that crashed, failed, hung or lost a process, from its files."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from itertools import islice

import msgspec

from expman.metadata import RunMetadata
from expman.models import PROCESS_ENDED, UNCAUGHT_IN, RunStatus
from expman.shown import count_of
from expman.storage.console_log import ConsoleLine
from expman.storage.evidence import (
    LAST_LINES,
    Evidence,
    Nonfinite,
    gather,
    recorded_stacks,
    stands_in,
)
from expman.storage.faults import describe_faults
from expman.storage.paths import (
    POST_MORTEM_JSON,
    POST_MORTEM_MD,
    RUN_LOG,
    STACKS,
    SYSTEM,
    VECTORS_PARQUET,
    replace_file,
)
from expman.storage.postmortem import Fact, LastRow, PostMortem, describe, earlier_attempts
from expman.storage.runlog import LogEntry
from expman.storage.stacks import NO_ROWS
from expman.storage.times import parse_time

__all__ = [
    "ended_processes",
    "full_memories",
    "lost_in_short",
    "metrics_without_numbers",
    "places",
    "write_post_mortem",
]

_MOST_ALIKE = 6
"""Facts of one kind; so the report is a screen also with thousands of metrics or producers."""
_OUT_OF_MEMORY = re.compile(r"the kernel killed|ran out of memory")
_KNOWN_END = re.compile(r": (killed by \w+|exit status \d+|it runs on as another program)")
_ENDED = re.compile(r"(.+?) \(pid [^)]*\) ([^;:]+)")
_BEHIND = re.compile(re.escape(NO_ROWS) + "(.+?) is behind: ")
_BACK = "rows come again from "
_FULL = 0.95
_MEMORIES = (
    ("the memory of the machine", "mem.used_gb", "mem.total_gb"),
    ("the memory of the cgroup", "cgroup.mem_used_gb", "cgroup.mem_limit_gb"),
    ("/dev/shm", "shm.used_gb", "shm.total_gb"),
)


def write_post_mortem(run_dir: str, meta: RunMetadata) -> None:
    """Writes both files if the run crashed, failed or hung, or if it lost a process.

    Args:
        run_dir: the run's directory; its other files are final.
        meta: what run.yaml says.

    Raises:
        StorageError: they cannot be written.
    """
    is_first = meta.attempt == 1  # a later one may find the folder of an earlier one
    has_hung = is_first and os.path.isdir(os.path.join(run_dir, STACKS))
    has_hung = has_hung or bool(recorded_stacks(run_dir, meta))
    if meta.status is RunStatus.FINISHED and not has_hung and not meta.processes_lost:
        return
    found = _examine(run_dir, meta)
    path = os.path.join(run_dir, POST_MORTEM_JSON)
    replace_file(path, msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    text = describe(f"{meta.experiment}/{meta.name}", found, earlier_attempts(run_dir, meta))
    replace_file(os.path.join(run_dir, POST_MORTEM_MD), text.encode())


def _examine(run_dir: str, meta: RunMetadata) -> PostMortem:
    seen = gather(run_dir, meta)
    return PostMortem(
        status=str(meta.status),
        reason=meta.reason,
        ended_at=meta.finished_at,
        facts=list(_facts(run_dir, meta, seen)),
        last_rows=seen.rows,
        nonfinite=seen.nonfinite,
        traceback=seen.exception,
        fatal_traceback=seen.faults[-1][1] if seen.faults else None,
        machine=seen.machine,
        console=[_printed(line) for line in seen.console[-LAST_LINES:]],
        log=[f"{entry.level}: {entry.message}" for entry in seen.entries[-LAST_LINES:]],
        stacks=seen.stacks,
        cause=_cause(meta, seen),
        began_at=meta.attempt_started_at or meta.started_at,
        attempt=meta.attempt,
        host=meta.host.hostname,
    )


def _facts(run_dir: str, meta: RunMetadata, seen: Evidence) -> Iterator[Fact]:
    """What is known, the most telling first."""
    faults = describe_faults(meta, seen)
    yield from islice(faults, _MOST_ALIKE)
    last = _last_line(seen.exception or "")
    is_the_reason = last != "" and (meta.reason or "").startswith(last)  # with its place, too
    if is_the_reason:
        yield Fact(f"an exception was raised: {meta.reason}", "run.yaml")
    elif seen.exception is not None:
        yield Fact(f"an exception was raised: {last}", RUN_LOG)
    if meta.reason and not is_the_reason:
        yield Fact(meta.reason, "run.yaml")
    yield from _memory_kills(meta, seen)
    if meta.status is RunStatus.CRASHED and not (seen.exception or faults or _end_of(meta)):
        yield Fact(
            "the process left no exception, no exit status and no fault: it was killed by a signal "
            "such as SIGKILL or SIGTERM (the kernel, a scheduler or a person), or the machine "
            "stopped",
            RUN_LOG,
        )
    yield from ended_processes(meta, seen.entries)
    if meta.status is RunStatus.FINISHED:
        yield Fact("the run itself went on and finished", "run.yaml")
    yield from full_memories(seen.machine)
    yield from metrics_without_numbers(seen.without_numbers, len(seen.nonfinite))
    yield from _stalls(meta, seen)
    yield from places(run_dir, seen.stacks)
    yield from _rows(seen.rows)
    if meta.rows_missing:
        yield Fact(count_of(meta.rows_missing, "row is missing", "rows are missing"), "run.yaml")


def _memory_kills(meta: RunMetadata, seen: Evidence) -> Iterator[Fact]:
    """What run.log says of lack of memory."""
    others = (PROCESS_ENDED, f"run {meta.status}")
    found = [one for one in seen.entries if _OUT_OF_MEMORY.search(one.message)]
    for entry in [one for one in found if not one.message.startswith(others)][-_MOST_ALIKE:]:
        yield Fact(f"{_at(entry)}{entry.message}", RUN_LOG)


def _last_line(traceback: str) -> str:
    return traceback.rstrip().rpartition("\n")[2]


def _end_of(meta: RunMetadata) -> str:
    """How the owner ended, where that is known: `killed by SIGKILL`."""
    found = _KNOWN_END.search(meta.reason or "")
    return found[1] if meta.status is RunStatus.CRASHED and found is not None else ""


def _cause(meta: RunMetadata, seen: Evidence) -> str:
    """Why, in a few words: an engineer reads the heading first."""
    if meta.status is RunStatus.FINISHED:
        return lost_in_short(meta, seen.entries) or f"though {_who_stood_still(seen)} for a time"
    parts = [_own_cause(meta, seen)]
    parts += [lost_in_short(meta, seen.entries).replace("but ", "and ", 1)]
    return ", ".join(filter(None, parts))


def _own_cause(meta: RunMetadata, seen: Evidence) -> str:
    if meta.status is RunStatus.FAILED:
        return re.split(r":| \(at ", meta.reason or "")[0][:60]
    is_out = _OUT_OF_MEMORY.search(meta.reason or "") is not None
    parts = [_end_of(meta) or ("by a signal or with its machine" if not seen.exception else "")]
    parts += ["out of memory"] if is_out else []
    parts += [f"while {_who_stood_still(seen)}"] if meta.stalled_since else []
    return ", ".join(filter(None, parts))


def _who_stood_still(seen: Evidence) -> str:
    reports = [one.message for one in seen.entries if one.message.startswith(NO_ROWS)]
    behind = [match[1] for report in reports if (match := _BEHIND.match(report)) is not None]
    if not behind or len(behind) < len(reports):
        return "the run stood still"
    return f"{behind[-1]} stood still" if len({*behind}) == 1 else "several producers stood still"


def lost_in_short(meta: RunMetadata, entries: list[LogEntry]) -> str:
    """Which process ended before the run, and how, in a few words; "" if none did."""
    found = [one.message for one in entries if one.message.startswith(PROCESS_ENDED)]
    match = _ENDED.match(found[0].removeprefix(PROCESS_ENDED)) if found else None
    if match is None:
        count = meta.processes_lost
        return f"but {count:,} of its processes ended before" if count else ""
    more = meta.processes_lost - 1
    return f"but {match[1]} {match[2]}" + (f", and {more:,} more ended before" if more > 0 else "")


def ended_processes(meta: RunMetadata, entries: list[LogEntry]) -> Iterator[Fact]:
    """The processes that ended before the run, and not well."""
    found = [one for one in entries if one.message.startswith(PROCESS_ENDED)]
    raised = dict(_raised(entries))
    for entry in found[-_MOST_ALIKE:]:
        text = entry.message.removeprefix(PROCESS_ENDED)
        pid = re.search(r"\(pid (\d+)", text)
        why = raised.get(pid[1] if pid is not None else "")
        yield Fact(f"{_at(entry)}{text}{f'; it raised {why}' if why else ''}", RUN_LOG)
    if (more := meta.processes_lost - len(found[-_MOST_ALIKE:])) > 0:
        others = count_of(more, "other process", "other processes")
        yield Fact(f"{others} ended before the run, and not well", "run.yaml")


def _raised(entries: list[LogEntry]) -> Iterator[tuple[str, str]]:
    """The last line of the traceback of each worker that ended with one, by its process id."""
    for entry in entries:
        if entry.message.startswith(UNCAUGHT_IN):
            pid = entry.message.removeprefix(UNCAUGHT_IN).partition(":")[0]
            yield pid, _last_line(entry.message)


def full_memories(machine: dict[str, float]) -> Iterator[Fact]:
    """The memories that were full in the last sample."""
    for what, used, total in _MEMORIES:
        share = machine.get(used, 0.0) / (machine.get(total) or math.inf)
        if share >= _FULL:
            yield Fact(f"{what} was {share:.0%} full in the last sample", f"{SYSTEM}.parquet")


def metrics_without_numbers(found: dict[str, Nonfinite], count: int) -> Iterator[Fact]:
    """The metrics that are NaN or infinite, and since when.

    Args:
        found: some of them.
        count: how many there are.
    """
    for name, one in found.items():
        if one.since_step is not None:
            rows = f" ({one.rows:,} rows)" if one.rows > 1 else ""
            text = f"since step {one.since_step:,}{rows}"
        else:
            text = f"in its last {one.rows:,} rows" if one.rows else "at the end"
            text += (
                "" if one.first_step is None else f", for the first time at step {one.first_step:,}"
            )
        yield Fact(
            f"{name} has been NaN or infinite {text}", VECTORS_PARQUET if one.rows else "run.yaml"
        )
    if (more := count - len(found)) > 0:
        yield Fact(f"so have {count_of(more, 'other metric')}", "run.yaml")


def _stalls(meta: RunMetadata, seen: Evidence) -> Iterator[Fact]:
    """Who stood still: at the end, or before."""
    since = parse_time(meta.stalled_since)
    if since is not None:
        yield Fact(f"rows were missing since {since:%Y-%m-%d %H:%M:%S} UTC", "run.yaml")
    elif any(entry.message.startswith(_BACK) for entry in seen.entries):
        yield Fact(f"{_who_stood_still(seen)} for a time, and went on", RUN_LOG)
    reports = [entry for entry in seen.entries if entry.message.startswith(NO_ROWS)]
    for entry in reports[-_MOST_ALIKE:]:
        yield Fact(f"{_at(entry)}{entry.message}", RUN_LOG)


def _at(entry: LogEntry) -> str:
    return "" if entry.time is None else f"{entry.time:%Y-%m-%d %H:%M:%S} UTC: "


def places(run_dir: str, stacks: list[str]) -> Iterator[Fact]:
    """Where the processes stood whose stacks were recorded last."""
    for path in stacks[-_MOST_ALIKE:]:
        place = stands_in(run_dir, path)
        if place is not None:
            pid = path.rpartition("-")[2].removesuffix(".txt")
            yield Fact(f"pid {pid} stood in {place}", path)


def _rows(rows: list[LastRow]) -> Iterator[Fact]:
    for row in rows[:_MOST_ALIKE]:
        before = row.seconds_before_end
        ago = "" if before is None else f", {before:.1f} s before the end"
        which = "" if row.step is None else f" with step {row.step}"
        text = f"{row.producer} logged {count_of(row.rows, 'row')}, the last one{which}{ago}"
        yield Fact(text, VECTORS_PARQUET)
    if (more := len(rows) - _MOST_ALIKE) > 0:
        yield Fact(f"{count_of(more, 'other producer')} logged rows", VECTORS_PARQUET)


def _printed(line: ConsoleLine) -> str:
    who = line.stream if line.producer == "main" else f"{line.stream} {line.producer}"
    return f"[{who}] {line.text}"
