"""Values, ages and durations as people read them."""

from __future__ import annotations

import datetime
import math

from expman.errors import StorageError
from expman.reading.run import Run

__all__ = ["ago", "facts", "number", "span"]


def number(value: object) -> str:
    """A value in few characters: four digits of a float, texts on one line."""
    match value:
        case None:
            return "–"
        case float():
            return f"{value:.4g}" if math.isfinite(value) else str(value)
        case str():
            return " ".join(value.split())
    return str(value)


def span(duration: datetime.timedelta | None) -> str:
    """A duration: `12.3s`, `4m05s`, `2h03m`, `3d04h`."""
    if duration is None:
        return "–"
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


def ago(moment: datetime.datetime | None) -> str:
    """How long ago: `5s ago`, `3h ago`; the date if that is longer than a month."""
    if moment is None:
        return "–"
    seconds = int((datetime.datetime.now(datetime.UTC) - moment).total_seconds())
    if seconds > 30 * 86_400:
        return f"{moment.astimezone():%Y-%m-%d}"
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit} ago"
    return f"{max(0, seconds)}s ago"


def facts(run: Run) -> list[tuple[str, str]]:
    """What is worth saying about a run, besides its status."""
    meta = run.metadata
    rows = f"{meta.rows_written:,}" if meta.rows_written else ""
    if meta.rows_dropped:
        rows += f", {meta.rows_dropped:,} dropped"
    if meta.rows_missing:
        rows = f"{rows or '0'}, {meta.rows_missing:,} missing"
    try:
        artifacts = len(run.artifacts())
    except OSError as exc:
        raise StorageError(run.path, str(exc)) from exc
    files = str(artifacts) if artifacts else ""
    if meta.artifacts_missing:
        files = f"{artifacts}, {meta.artifacts_missing} could not be stored (see run.log)"
    began = run.started_at
    said = [
        ("started", "" if began is None else f"{began.astimezone():%Y-%m-%d %H:%M:%S}"),
        ("took" if meta.finished_at else "running", span(run.duration)),
        ("reason", meta.reason or ""),
        ("tags", ", ".join(run.tags)),
        ("group", run.group or ""),
        ("about", meta.description or ""),
        ("rows", rows),
        ("artifacts", files),
    ]
    return [(name, text) for name, text in said if text]
