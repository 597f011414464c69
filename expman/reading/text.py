"""Values, ages and durations as people read them, and texts that do a terminal no harm."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Sequence

from expman.errors import StorageError
from expman.reading.run import Run

__all__ = ["ago", "brief", "facts", "lacks", "listed", "number", "short", "span", "visible"]

MAX_CHARACTERS = 500
"""Of a value; a longer one is cut, with a mark."""
MAX_NAME = 256
_NAMES = 8
# Controls (C0, DEL, C1), what turns the direction of writing or cannot be seen, line separators,
# surrogates, tags.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(character: str) -> str:
    code = ord(character)
    short = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return _SHORT.get(character, short if code < 0x10000 else f"\\U{code:08x}")


def visible(text: str, *, keep: str = "", escape: Callable[[str], str] = _escape) -> str:
    """The text with escapes such as `\\x1b` for what would drive a terminal or mislead the eye.

    Args:
        text: a name, a message, anything that somebody else wrote.
        keep: characters that stay as they are, such as the ends of our own lines.
        escape: what takes the place of a character.
    """
    return _UNSAFE.sub(lambda match: match[0] if match[0] in keep else escape(match[0]), text)


def brief(text: str, limit: int = MAX_CHARACTERS) -> str:
    """The text on one line, harmless, and cut after `limit` characters, with a mark."""
    line = " ".join(text[: 4 * limit].split())
    if len(text) <= 4 * limit and len(line) <= limit:
        return visible(line)
    return f"{visible(line[:limit])}… ({len(text):,} characters)"


def short(name: str) -> str:
    """A name; cut, with a mark, only if it is longer than any sane one."""
    return name if len(name) <= MAX_NAME else brief(name, MAX_NAME)


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(brief(name, 80) for name in names[:_NAMES]) + more


def number(value: object) -> str:
    """A value in few characters: four digits of a float, texts on one line, long ones cut."""
    match value:
        case None:
            return "–"
        case float():
            return f"{value:.4g}" if math.isfinite(value) else str(value)
        case str():
            return brief(value)
    return brief(str(value))


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


def lacks(run: Run) -> str:
    """What a run is known to lack, in a few words; "" if nothing."""
    meta = run.metadata
    said = [
        f"{count:,} {what} missing"
        for count, what in (
            (meta.rows_missing, "rows"),
            (meta.artifacts_missing, "artifacts"),
            (meta.lanes_unreadable, "lanes"),
        )
        if count
    ]
    return ", ".join(said)


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
    return [(name, brief(text)) for name, text in said if text]
