"""What is known about a live run at this moment: who is behind or stands still, and since when."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice

import pyarrow as pa

from expman.errors import ExpmanError
from expman.metadata import RunMetadata
from expman.reading.live_status import silence
from expman.reading.peek import lanes_of
from expman.reading.ranks import ranks_of
from expman.reading.run import Run
from expman.shown import count_of
from expman.storage.evidence import (
    MOST_METRICS,
    Nonfinite,
    nonfinite_metrics,
    recent_log,
    recorded_stacks,
    without_number,
)
from expman.storage.examine import (
    ended_processes,
    full_memories,
    lost_in_short,
    metrics_without_numbers,
    places,
)
from expman.storage.paths import RUN_LOG, VECTORS_PARQUET
from expman.storage.postmortem import Fact, LastRow, PostMortem
from expman.storage.runlog import LogEntry
from expman.storage.stacks import NO_ROWS
from expman.storage.times import parse_time

__all__ = ["where_it_stands"]

_LAST_ROWS = 20_000
_MOST_PRODUCERS = 6
_MEMORY = "shared memory"


def where_it_stands(run: Run) -> PostMortem:
    """Looks at a live run, as a post-mortem looks at one that has ended.

    Raises:
        StorageError: a file cannot be read.
    """
    meta, now = run.metadata, time.time()
    entries = recent_log(run.path, meta)
    stacks = recorded_stacks(run.path, meta) if meta.stalled_since else []
    rows = _last_rows(run, now)
    gone = list(_who_is_gone(run, meta, now))
    sample = _last_sample(run)
    facts = [
        *gone,
        *_stalls(meta, entries, now),
        *places(run.path, stacks),
        *ended_processes(meta, entries),
        *_ranks(run, meta),
        *full_memories(sample),
        *metrics_without_numbers(_without_numbers(run, meta), len(nonfinite_metrics(meta))),
        *_pace(rows),
    ]
    return PostMortem(
        status=str(meta.status),
        reason=None,
        ended_at=None,
        facts=facts,
        last_rows=rows,
        nonfinite=nonfinite_metrics(meta),
        traceback=None,
        fatal_traceback=None,
        machine=sample,
        console=[],
        log=[f"{entry.level}: {entry.message}" for entry in entries[-_MOST_PRODUCERS:]],
        stacks=stacks,
        cause=_cause(meta, entries, gone),
        began_at=meta.attempt_started_at or meta.started_at,
        attempt=meta.attempt,
        host=meta.host.hostname,
    )


def _cause(meta: RunMetadata, entries: list[LogEntry], gone: list[Fact]) -> str:
    if gone:
        is_sure = gone[0].source == _MEMORY
        return "but its process is gone" if is_sure else "but without a sign of life"
    if not meta.stalled_since:
        return lost_in_short(meta, entries)
    behind = [one.partition(" is behind")[0] for one in meta.stalled if " is behind" in one]
    names = ", ".join(behind[:3]) + (", …" if len(behind) > 3 else "")
    return f"{names} behind" if behind else "no rows come"


def _who_is_gone(run: Run, meta: RunMetadata, now: float) -> Iterator[Fact]:
    """Whether somebody is left who logs and writes."""
    if "://" in run._place:
        return
    # Names of shared memory may have been removed under a live run: without a lane nothing is sure.
    lives = [lane.producer_alive() for lane in lanes_of(run.path) if lane.is_owner]
    finish = "`expman recover` finishes it"
    if lives and not any(lives):
        text = f"the process that owned it (pid {meta.host.pid}) no longer runs here; {finish}"
        yield Fact(text, _MEMORY)
    elif not lives and (silent_s := silence(run.path, meta, now)) is not None:
        text = f"no sign of life for {_ago(silent_s)}: trainer and writer may be gone; {finish}"
        yield Fact(text, "run.yaml")


def _stalls(meta: RunMetadata, entries: list[LogEntry], now: float) -> Iterator[Fact]:
    """Who stands still, as the writer has noticed."""
    since = parse_time(meta.stalled_since)
    if since is None:
        return
    silent_s = max(0.0, now - since.timestamp())
    text = f"rows have been missing since {since:%Y-%m-%d %H:%M:%S} UTC, for {_ago(silent_s)}"
    yield Fact(text, "run.yaml")
    reports = [one for one in entries if one.message.startswith(NO_ROWS)]
    for sentence in meta.stalled[:_MOST_PRODUCERS]:
        report = next((one for one in reversed(reports) if sentence in one.message), None)
        seen = report.time if report is not None else None
        yield Fact(
            sentence if seen is None else f"{seen:%Y-%m-%d %H:%M:%S} UTC: {sentence}", RUN_LOG
        )
    for entry in entries:
        if entry.time is not None and entry.time >= since and "no stacks" in entry.message:
            yield Fact(entry.message, RUN_LOG)


def _ranks(run: Run, meta: RunMetadata) -> Iterator[Fact]:
    """Who is behind by the steps; a file that cannot be read costs nothing else."""
    if meta.rank is None or meta.rank.world_size in (None, 1):
        return
    try:
        sentences = ranks_of(run).sentences()
    except ExpmanError:
        return
    for sentence in sentences:
        yield Fact(sentence, VECTORS_PARQUET)


def _last_sample(run: Run) -> dict[str, float]:
    try:
        rows = run.system(last=1).to_pylist()
    except ExpmanError:
        return {}
    return {name: value for row in rows for name, value in row.items() if isinstance(value, float)}


def _without_numbers(run: Run, meta: RunMetadata) -> dict[str, Nonfinite]:
    found = {}
    for name, step in islice(nonfinite_metrics(meta).items(), MOST_METRICS):
        try:
            rows = run.vectors(["step", name], last=_LAST_ROWS)
        except ExpmanError:
            continue
        found[name] = without_number(rows, name, step)
    return found


def _last_rows(run: Run, now: float) -> list[LastRow]:
    """The last row of each producer, those in shared memory among them."""
    names = ["_producer", "_seq", "step", "timestamp"]
    table = run.vectors(names, last=_LAST_ROWS)
    micros = table["timestamp"].cast(pa.timestamp("us")).cast(pa.int64()).to_pylist()
    columns = (table[name].to_pylist() for name in names[:3])
    written = (
        (producer, seq, step, (at or 0) / 1e6)
        for producer, seq, step, at in zip(*columns, micros, strict=True)
    )
    waiting = (
        (row.producer, row.seq, row.step, row.timestamp_ns / 1e9)
        for row in run.peek()
        if row.producer is not None and row.seq is not None
    )
    found: dict[str, LastRow] = {}
    for producer, seq, step, moment in (*written, *waiting):
        known = found.get(producer)
        if known is None or seq + 1 > known.rows:
            found[producer] = LastRow(producer, seq + 1, step, max(0.0, now - moment))
    return sorted(found.values(), key=lambda row: (row.producer != "main", row.producer))


def _pace(rows: list[LastRow]) -> Iterator[Fact]:
    if not rows:
        yield Fact("no row so far", VECTORS_PARQUET)
    for row in rows[:_MOST_PRODUCERS]:
        which = "" if row.step is None else f" with step {row.step:,}"
        ago = _ago(row.seconds_before_end or 0.0)
        rows_logged = count_of(row.rows, "row")
        text = f"{row.producer} has logged {rows_logged}, the last one{which} came {ago} ago"
        yield Fact(text, VECTORS_PARQUET)
    if (more := len(rows) - _MOST_PRODUCERS) > 0:
        others = count_of(more, "other producer has", "other producers have")
        yield Fact(f"{others} logged rows", VECTORS_PARQUET)


def _ago(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
