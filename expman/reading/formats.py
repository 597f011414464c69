"""Numbers, times, durations and sizes as people read them; the one place that formats them."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator

from expman.metadata import RunMetadata
from expman.models import RunStatus
from expman.reading.summary import RunDetails, RunSummary
from expman.reading.text import MAX_CHARACTERS, format_text
from expman.shown import count_of

__all__ = [
    "format_age",
    "format_duration",
    "format_facts",
    "format_missing",
    "format_number",
    "format_remarks",
    "format_size",
    "format_time",
]

NOTHING = "–"
_ODD = 3


def format_number(value: object, limit: int = MAX_CHARACTERS) -> str:
    """Returns a value in few characters: four digits of a float, texts cut after `limit`."""
    match value:
        case None:
            return NOTHING
        case float():
            return f"{value:.4g}" if math.isfinite(value) else str(value)
        case str():
            return format_text(value, limit)
    return format_text(str(value), limit)


def format_duration(duration: datetime.timedelta | None) -> str:
    """Returns a duration in two units at most: `12.3s`, `4m05s`, `2h03m`, `3d04h`."""
    if duration is None:
        return NOTHING
    seconds = duration.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, seconds = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{seconds:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02d}m"
    return f"{hours // 24}d{hours % 24:02d}h"


def format_time(moment: datetime.datetime | None) -> str:
    """Returns a local time to the second."""
    return NOTHING if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def format_age(moment: datetime.datetime | None) -> str:
    """Returns how long ago a moment was: `5s ago`, `3h ago`; the date after a month."""
    if moment is None:
        return NOTHING
    seconds = int((datetime.datetime.now(datetime.UTC) - moment).total_seconds())
    if seconds > 30 * 86_400:
        return f"{moment.astimezone():%Y-%m-%d}"
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit} ago"
    return f"{max(0, seconds)}s ago"


def format_size(size_bytes: float) -> str:
    """Returns a number of bytes in decimal units: `0 B`, `1.5 MB`, `20 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 999.5:
            return f"{size_bytes:.{1 if size_bytes < 9.95 and unit != 'B' else 0}f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def format_remarks(run: RunSummary) -> str:
    """Returns remarks on a run, shown after its status: pruned, and what is missing."""
    pruned = "pruned" if run.metadata.is_pruned else ""
    return ", ".join(filter(None, (pruned, format_missing(run))))


def format_missing(run: RunSummary) -> str:
    """Returns what a run is known to lack, in a few words; "" if nothing."""
    meta = run.metadata
    counts = (
        (meta.rows_missing, "row"),
        (meta.artifacts_missing, "artifact"),
        (meta.lanes_unreadable, "lane"),
    )
    return ", ".join(f"{count_of(count, what)} missing" for count, what in counts if count)


def _first_odd(meta: RunMetadata) -> Iterator[str]:
    """For the first metrics with values that are NaN or infinite: which, and from which step on."""
    odd = [(name, best) for name, best in meta.best.items() if best.nonfinite is not None]
    for name, best in odd[:_ODD]:
        where = "" if best.nonfinite_step is None else f" at step {best.nonfinite_step}"
        yield f"{name} is {best.nonfinite}{where}"
    if len(odd) > _ODD:
        yield f"{len(odd) - _ODD} more"


def _attempt(meta: RunMetadata) -> str:
    if meta.attempt == 1:
        return ""
    text = f"{meta.attempt}"
    if meta.from_step is not None:
        text += f", from step {meta.from_step:,}"
    ends = ", ".join(
        f"{number}: {one.status}" + (f" ({one.reason})" if one.reason else "")
        for number, one in list(enumerate(meta.earlier_attempts, 1))[-_ODD:]
    )
    return f"{text}; before it {ends}"


def _rows(meta: RunMetadata) -> str:
    """Rows of the run as it is now, and beside them those that are not among them."""
    others = {
        "superseded": meta.rows_superseded,
        "dropped": meta.rows_dropped,
        "missing": meta.rows_missing,
    }
    beside = [f"{count:,} {word}" for word, count in others.items() if count]
    return ", ".join([f"{meta.rows_written:,}", *beside]) if meta.rows_written or beside else ""


def format_facts(run: RunDetails) -> list[tuple[str, str]]:
    """Returns what is worth showing about a run besides its status, as names and texts."""
    summary = run.summary
    meta = summary.metadata
    files = str(run.artifacts) if run.artifacts else ""
    if meta.artifacts_missing:
        files = f"{run.artifacts}, {meta.artifacts_missing} could not be stored (see run.log)"
    is_live = summary.status is RunStatus.RUNNING
    began, took = summary.started_at, summary.duration
    facts = [
        ("started", "" if began is None else format_time(began)),
        ("running" if is_live else "took", "" if took is None else format_duration(took)),
        ("reason", meta.reason or ""),
        ("attempt", _attempt(summary.metadata)),
        ("tags", ", ".join(meta.tags or [])),
        ("group", meta.group or ""),
        ("about", meta.description or ""),
        ("rows", _rows(meta)),
        ("artifacts", files),
        ("not finite", ", ".join(_first_odd(summary.metadata))),
        *run.observed,
    ]
    return [(name, format_text(text)) for name, text in facts if text]
