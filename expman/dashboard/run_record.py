"""A run as a row of the page's table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import islice

import msgspec

from expman.dashboard.json_text import encode, flat, plain, seconds
from expman.errors import ExpmanError
from expman.models import RunStatus, safe_text
from expman.reading.commit import commit_of
from expman.reading.notes import read_notes
from expman.reading.params import flat_params, read_params
from expman.reading.runyaml import RunYaml
from expman.reading.summary import experiment_of, name_of
from expman.storage.times import parse_time

__all__ = ["lost_record", "record_of", "run_id", "whole_names"]

MOST_KEYS = 500
"""Parameters and metrics of a run that its row in the table has; its own page has all."""
LONGEST = 300
"""Characters of a text in the table."""
_EMPTY: dict[str, object] = dict.fromkeys(
    (
        *("started_at", "finished_at", "duration_s", "heartbeat_at", "stalled_since"),
        *("project", "group", "rank", "host", "description", "notes", "rows", "attempts"),
        *("error", "reason", "commit"),
    )
)
_MAPS: dict[str, object] = {name: {} for name in ("params", "scalars", "last", "min", "max")}


def run_id(run_dir: str) -> str:
    """Returns how the page calls a run: `experiment/run`."""
    return f"{experiment_of(run_dir)}/{name_of(run_dir)}"


def record_of(run_dir: str, yaml: RunYaml, modified_s: float) -> bytes:
    """Returns the row of a run as JSON.

    Args:
        run_dir: the run's directory.
        yaml: its run.yaml.
        modified_s: when run.yaml was renewed, seconds since the epoch.

    Raises:
        StorageError: run.yaml is damaged.
    """
    found, status = yaml.whole, yaml.status
    started = parse_time(_text(found.get("started_at")))
    finished = parse_time(_text(found.get("finished_at")))
    duration = found.get("duration_secs")
    if not isinstance(duration, int | float) and started and finished:
        duration = (finished - started).total_seconds()
    is_live = status is RunStatus.RUNNING
    heartbeat = seconds(parse_time(_text(found.get("heartbeat_at"))))
    if is_live:
        heartbeat = max(heartbeat or 0.0, modified_s)
    best = _mapping(found.get("best"))
    host = _mapping(found.get("host"))
    reason = found.get("reason")
    problem = None
    try:
        params = flat_params(read_params(run_dir, dates=yaml.is_ours))
    except ExpmanError as exc:
        params, problem = {}, str(exc)
    if reason:
        problem = _first_line(str(reason))
    record = {
        **_identity(run_dir),
        "status": str(status),
        "started_at": seconds(started),
        "finished_at": seconds(finished),
        "duration_s": duration,
        "heartbeat_at": heartbeat,
        "stalled_since": seconds(parse_time(_text(found.get("stalled_since")))),
        "project": found.get("project"),
        "group": found.get("group"),
        "rank": found.get("rank"),
        "host": host.get("hostname"),
        "description": found.get("description"),
        "notes": read_notes(run_dir, LONGEST),
        "tags": _texts(found.get("tags")),
        "rows": found.get("rows_written"),
        "attempts": _attempts(found.get("earlier_attempts")),
        "error": problem,
        "reason": reason,
        "foreign": not yaml.is_ours,
        "commit": commit_of(run_dir),
    }
    row = flat(record, LONGEST)
    row |= whole_names(experiment_of(run_dir), name_of(run_dir))
    row["params"] = _first(params)
    row["scalars"] = _first(_mapping(found.get("scalars")))
    row["last"] = _first(_mapping(found.get("vectors")))
    row["min"] = _first(_numbers(best, "min"))
    row["max"] = _first(_numbers(best, "max"))
    return msgspec.json.encode(row)


def lost_record(run_dir: str, why: str) -> bytes:
    """Returns the row of a run that cannot be read, as JSON."""
    return encode({**_identity(run_dir), "status": "UNREADABLE", "error": plain(why, LONGEST)})


def _identity(run_dir: str) -> dict[str, object]:
    home, name = os.path.split(run_dir)
    own = whole_names(os.path.basename(home), name)
    return {**own, "status": None, **_EMPTY, "tags": [], **_MAPS, "foreign": False}


def whole_names(experiment: str, run: str) -> dict[str, object]:
    """Returns what leads to a run, which is never cut."""
    experiment, run = safe_text(experiment), safe_text(run)
    return {"id": f"{experiment}/{run}", "experiment": experiment, "run": run}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _first(values: Mapping[str, object]) -> dict[str, object]:
    if len(values) > MOST_KEYS:
        values = dict(islice(values.items(), MOST_KEYS))
    return flat(values, LONGEST)


def _numbers(best: Mapping[str, object], kind: str) -> dict[str, object]:
    return {name: one.get(kind) for name, one in best.items() if isinstance(one, Mapping)}


def _attempts(earlier: object) -> int:
    return 1 + (len(earlier) if isinstance(earlier, list) else 0)


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "")
