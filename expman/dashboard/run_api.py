"""Answers about one run: all that its page begins with."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from expman.dashboard.context import Context, json_answer
from expman.dashboard.json_text import plain
from expman.dashboard.run_record import run_id
from expman.errors import ExpmanError
from expman.metadata import MetricBest
from expman.models import safe_text
from expman.reading.media import MediaItem
from expman.reading.notes import read_notes
from expman.reading.params import flat_params
from expman.reading.run import Run
from expman.storage.paths import CONSOLE_LOG, STACKS, SYSTEM, has_tail, parquet_name

__all__ = ["has_system", "overview", "run_overview"]

T = TypeVar("T")
LONGEST = 20_000
"""Characters of a text on a run's page."""
LONGEST_DIFF = 1_000_000
MOST_FILES = 5000


def overview(context: Context, request: Request) -> Response:
    """Answers `api/run?run=E/R`."""
    run_dir = context.run_dir(request)
    record = context.catalog.record(safe_text(run_id(run_dir)))
    return json_answer(run_overview(run_dir, record))


def run_overview(run_dir: str, record: bytes | None) -> dict[str, object]:
    """Returns all that the page of a run begins with; what cannot be read has its error.

    Args:
        run_dir: the run's directory.
        record: its row of the table.
    """
    run = Run(run_dir)
    problems: list[str] = []

    def try_to(read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except (ExpmanError, OSError) as exc:
            problems.append(str(exc))
            return otherwise

    media: list[MediaItem] = try_to(run.media, [])
    tables = [item.file for item in media if item.kind == "table"]
    tags = Counter((item.tag, item.kind) for item in media)
    histograms: list[str] = try_to(lambda: _histogram_tags(run), [])
    files: list[str] = try_to(run.artifacts, [])
    metadata: dict[str, object] = try_to(lambda: msgspec.to_builtins(run.metadata), {})
    best: dict[str, MetricBest] = try_to(run.best_numbers, {})
    names = try_to(lambda: run.metrics, list(best))
    params: dict[str, object] = try_to(lambda: flat_params(run.config), {})
    provenance: dict[str, object] = try_to(lambda: run.provenance, {})
    answer: dict[str, object] = {} if record is None else msgspec.json.decode(record)
    answer |= {
        "metadata": {k: v for k, v in metadata.items() if k not in ("scalars", "vectors", "best")},
        "params": params,
        "scalars": metadata.get("scalars", {}),
        "latest": metadata.get("vectors", {}),
        "metric_names": names,
        "metrics": {name: msgspec.to_builtins(number) for name, number in best.items()},
        "description": metadata.get("description"),
        "reason": metadata.get("reason"),
        "postmortem": try_to(lambda: msgspec.to_builtins(run.postmortem), None),
        "artifacts": [_file(run_dir, path) for path in files[:MOST_FILES]],
        "artifacts_left_out": max(0, len(files) - MOST_FILES),
        "media": [{"tag": t, "kind": k, "count": count} for (t, k), count in tags.items()],
        "histograms": histograms,
        "tables": tables,
        "has_system": try_to(lambda: has_system(run_dir), False),
        "has_console": os.path.exists(os.path.join(run_dir, CONSOLE_LOG)),
        "stacks": _stacks(run_dir),
    }
    found = plain(answer, LONGEST)
    assert isinstance(found, dict)
    # The longest texts that people read whole.
    found["provenance"] = plain(provenance or None, LONGEST_DIFF)
    found["notes"] = plain(read_notes(run_dir))
    found["problems"] = plain(problems)
    return found


def _file(run_dir: str, path: str) -> dict[str, object]:
    try:
        info = os.stat(path)
        size, modified = info.st_size, info.st_mtime
    except OSError:
        size, modified = None, None
    name = os.path.relpath(path, run_dir)
    return {"path": name, "size": size, "modified": modified, "kind": _kind(name)}


def _histogram_tags(run: Run) -> list[str]:
    return list(dict.fromkeys(row.tag for row in run.histograms()))


def _kind(name: str) -> str:
    return os.path.splitext(name)[1].lstrip(".").lower()


def has_system(run_dir: str) -> bool:
    """Returns whether there are samples of the machine."""
    there = os.path.exists(os.path.join(run_dir, parquet_name(SYSTEM)))
    return there or has_tail(run_dir, SYSTEM)


def _stacks(run_dir: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(os.path.join(run_dir, STACKS)) if name[:1] != ".")
    except OSError:
        return []
