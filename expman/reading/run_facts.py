"""What is known of a run in one row of a table: all of run.yaml, parameters, best numbers."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable

import msgspec
import pyarrow as pa

from expman.errors import StorageError
from expman.metadata import RunMetadata
from expman.models import safe_text
from expman.reading.best import computed_best
from expman.reading.json_text import to_json
from expman.reading.params import flat_params
from expman.reading.run import Run
from expman.reading.runyaml import RunYaml
from expman.reading.signatures import signature_of
from expman.reading.summary import RunSummary
from expman.reading.vectors import stored_columns
from expman.storage.paths import CONFIG_YAML, VECTORS_PARQUET
from expman.storage.times import parse_time

__all__ = ["FACTS", "facts_of", "facts_table", "fingerprint"]

_TIME = pa.timestamp("us", "UTC")
FACTS = pa.schema(
    [
        ("experiment", pa.string()),
        ("run", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("started_at", _TIME),
        ("finished_at", _TIME),
        ("heartbeat_at", _TIME),
        ("duration_s", pa.float64()),
        ("rows", pa.int64()),
        ("group", pa.string()),
        ("project", pa.string()),
        ("description", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("rank", pa.int64()),
        ("attempt", pa.int64()),
        ("host", pa.string()),
        ("params", pa.string()),
        ("scalars", pa.string()),
        ("last", pa.string()),
        ("best", pa.string()),
        ("facts", pa.string()),
        ("foreign", pa.bool_()),
        ("sort_key", pa.string()),
        ("yaml_inode", pa.uint64()),
        ("yaml_mtime_ns", pa.int64()),
        ("yaml_size", pa.int64()),
        ("config_signature", pa.string()),
        ("rows_signature", pa.string()),
        ("columns", pa.string()),
        ("part", pa.string()),
        ("part_offset", pa.int64()),
        ("part_rows", pa.int64()),
    ]
)
"""The columns: one row per run. `params`, `scalars`, `last`, `best` and `facts` are JSON."""

_KNOWN = frozenset({"_producer", "_seq", "_rank"})
"""Columns that mean no more than they say: with others, readers may leave out rows."""
_APART = ("scalars", "vectors", "best")


def facts_of(run_dir: str) -> dict[str, object]:
    """Reads what is known of a run.

    What cannot be expressed exactly, or cannot be read, is null: `params`, `scalars`, `last`, and
    `best`. Whoever needs it asks the run's directory.

    Raises:
        FileNotFoundError: the run has no run.yaml.
        StorageError: run.yaml cannot be read.
    """
    yaml = RunYaml(run_dir)
    run = Run._found(run_dir, yaml)
    config, rows = (signature_of(run_dir, name) for name in (CONFIG_YAML, VECTORS_PARQUET))
    meta = yaml.metadata()
    summary = RunSummary(run_dir, meta)
    duration = summary.duration
    everything = msgspec.to_builtins(meta)
    rest = {key: value for key, value in everything.items() if key not in _APART}
    inode, mtime_ns, size = yaml.signature
    best = None if meta.best_left_out else _best(run_dir, meta)
    # Without latest values, the last numbers of the rows are meant.
    is_last_known = bool(meta.vectors) or best == to_json({})
    return {
        "experiment": run.experiment,
        "run": run.name,
        "status": str(meta.status),
        "reason": meta.reason,
        "started_at": yaml.started_at,
        "finished_at": summary.finished_at,
        "heartbeat_at": parse_time(meta.heartbeat_at),
        "duration_s": None if duration is None else duration.total_seconds(),
        "rows": meta.rows_written,
        "group": yaml.group,
        "project": meta.project,
        "description": meta.description,
        "tags": yaml.tags,
        "rank": None if meta.rank is None else meta.rank.rank,
        "attempt": meta.attempt,
        "host": meta.host.hostname or None,
        "params": _params(run),
        "scalars": None if meta.scalars_left_out else to_json(meta.scalars),
        "last": to_json(meta.vectors) if is_last_known and not meta.vectors_left_out else None,
        "best": best,
        "facts": to_json(rest),
        "foreign": not yaml.is_ours,
        "sort_key": str(yaml.sort_key),
        "yaml_inode": inode,
        "yaml_mtime_ns": mtime_ns,
        "yaml_size": size,
        "config_signature": config,
        "rows_signature": rows,
        "columns": _columns(run_dir),
        "part": None,
        "part_offset": None,
        "part_rows": None,
    }


def _params(run: Run) -> str | None:
    try:
        return to_json(flat_params(run.config))
    except StorageError:
        return None


def _best(run_dir: str, meta: RunMetadata) -> str | None:
    try:
        found = meta.best or computed_best(run_dir)
        return to_json({key: msgspec.to_builtins(one) for key, one in found.items()})
    except StorageError:
        return None


def _columns(run_dir: str) -> str:
    try:
        return fingerprint(stored_columns(run_dir))
    except StorageError:
        return ""


def fingerprint(schema: pa.Schema) -> str:
    """Returns a text that is the same for runs whose rows have the same columns.

    It is empty if their rows cannot be in a file with rows of other runs.
    """
    if any(name.startswith("_") and name not in _KNOWN for name in schema.names):
        return ""
    return hashlib.sha256(schema.serialize().to_pybytes()).hexdigest()[:16]


def facts_table(found: Iterable[dict[str, object]]) -> pa.Table:
    """Makes a table of what is known of several runs."""
    rows = list(found)
    return pa.table(
        {
            field.name: pa.array([_fitting(row[field.name]) for row in rows], field.type)
            for field in FACTS
        },
        schema=FACTS,
    )


def _fitting(value: object) -> object:
    """Returns a value as Arrow takes it: text is UTF-8, and a time has a zone."""
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        return value.replace(tzinfo=datetime.UTC)
    return value
