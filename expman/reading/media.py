"""Pictures, sounds, texts, tables and histograms of a run."""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from expman.reading.text import format_names
from expman.storage.paths import HISTOGRAMS, MEDIA_JSONL, read_regular, storage_error
from expman.storage.times import parse_time

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "HistogramRow",
    "MediaItem",
    "facts_of_media",
    "read_histograms",
    "read_media",
    "read_table",
]

_KINDS = {
    **dict.fromkeys(("png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff", "svg"), "image"),
    **dict.fromkeys(("wav", "mp3", "ogg", "flac", "m4a"), "audio"),
    **dict.fromkeys(("mp4", "webm", "avi", "mov", "mkv", "apng"), "video"),
    "txt": "text",
    "parquet": "table",
}


class MediaItem(msgspec.Struct, frozen=True, kw_only=True):
    """One file in media/.

    Attributes:
        tag, step: the user's.
        kind: "image", "audio", "video", "text", "table", "confusion_matrix" or "other".
        file: relative to the run's directory.
        path: the whole path.
        bytes: size of the file.
        logged_at: when it was logged, UTC; None if that cannot be read.
        producer: who logged it.
    """

    tag: str
    step: int | None
    kind: str
    file: str
    path: str
    bytes: int
    logged_at: datetime | None
    producer: str


class HistogramRow(msgspec.Struct, frozen=True, kw_only=True):
    """One distribution.

    Attributes:
        tag, step: the user's.
        edges: of the bins, one more than there are counts.
        counts: values in each bin.
        total: values in all bins.
        not_finite: values that were NaN or infinite, and are in no bin.
        logged_at: when it was logged, UTC.
        producer: who logged it.
    """

    tag: str
    step: int | None
    edges: list[float]
    counts: list[int]
    total: float
    not_finite: int
    logged_at: datetime
    producer: str


def read_media(run_dir: str, tag: str | None = None, kind: str | None = None) -> list[MediaItem]:
    """Reads media.jsonl; none if there is none. Damaged lines are left out.

    Raises:
        StorageError: it cannot be read.
    """
    path = os.path.join(run_dir, MEDIA_JSONL)
    try:
        data = read_regular(path, follow=True)
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise storage_error(path, exc) from exc
    items = [item for line in data.split(b"\n") if (item := _item(run_dir, line)) is not None]
    return [item for item in items if tag in (None, item.tag) and kind in (None, item.kind)]


def _item(run_dir: str, line: bytes) -> MediaItem | None:
    try:
        found: Any = msgspec.json.decode(line)
        file, tag = found["file"], found["tag"]
        inside = isinstance(file, str) and not os.path.isabs(file) and ".." not in file.split("/")
        if not inside or not isinstance(tag, str):
            return None
        step = found.get("step")
        kind = found.get("kind") or _KINDS.get(file.rpartition(".")[2].lower(), "other")
        return MediaItem(
            tag=tag,
            step=step if isinstance(step, int) else None,
            kind=str(kind),
            file=file,
            path=os.path.join(run_dir, file),
            bytes=int(found.get("bytes") or 0),
            logged_at=parse_time(str(found.get("logged_at"))),
            producer=str(found.get("producer") or "main"),
        )
    except (msgspec.DecodeError, ValueError, TypeError, KeyError, AttributeError):
        return None


def read_histograms(run_dir: str, tag: str | None = None) -> list[HistogramRow]:
    """Reads the histograms, in the order of logging; none if there are none.

    Raises:
        StorageError: a file cannot be read.
    """
    from expman.reading.vectors import metric_names, read_vectors

    names = metric_names(run_dir, HISTOGRAMS)
    wanted = [name for name in ("tag", "edges", "counts", "total", "not_finite") if name in names]
    if not {"tag", "edges", "counts"} <= set(wanted):
        return []
    fixed = ["step", "timestamp", "_producer"]
    table = read_vectors(run_dir, [*fixed, *wanted], stem=HISTOGRAMS)
    return [_histogram(row) for row in table.to_pylist() if tag in (None, row["tag"])]


def _histogram(row: dict[str, Any]) -> HistogramRow:
    counts = json.loads(row["counts"])
    return HistogramRow(
        tag=row["tag"],
        step=row["step"],
        edges=json.loads(row["edges"]),
        counts=counts,
        total=float(sum(counts)),
        not_finite=int(row.get("not_finite") or 0),
        logged_at=row["timestamp"],
        producer=str(row.get("_producer") or "main").partition("#")[0],
    )


def facts_of_media(run_dir: str) -> list[tuple[str, str]]:
    """Titles and texts: the tags of each kind, with their counts.

    Raises:
        StorageError: a file cannot be read.
    """
    found: dict[str, Counter[str]] = {}
    for item in read_media(run_dir):
        found.setdefault(item.kind, Counter())[item.tag] += 1
    for row in read_histograms(run_dir):
        found.setdefault("histogram", Counter())[row.tag] += 1
    return [(kind.replace("_", " "), _tags(tags)) for kind, tags in found.items()]


def _tags(tags: Counter[str]) -> str:
    texts = [tag if count == 1 else f"{tag} ({count})" for tag, count in tags.items()]
    return format_names(texts)


def read_table(item: MediaItem) -> pa.Table:
    """Reads a table.

    Raises:
        StorageError: it cannot be read.
    """
    import pyarrow as pa

    from expman.storage.arrowfile import read_parquet

    try:
        with pa.BufferReader(read_regular(item.path, follow=True)) as source:
            return read_parquet(source)
    except (OSError, pa.ArrowException) as exc:
        raise storage_error(item.path, exc) from exc
