"""The reading functions of expman-rs, with the same arguments and results.

They differ from the rest of `expman.reading` where expman-rs does: one row per step, NaN and
infinities as None, whole numbers of run.yaml as floats. The one exception is a boolean metric:
expman-rs does not write any and reads them as None; here they keep their values.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from expman.errors import StorageError
from expman.models import RunStatus
from expman.reading import media
from expman.reading.directories import experiments, run_dirs
from expman.reading.optional import needs
from expman.reading.params import read_params
from expman.reading.rows import python_rows
from expman.reading.runyaml import RunYaml
from expman.reading.tags import TagFilter
from expman.reading.vectors import read_parts
from expman.storage import paths, yamlfile
from expman.storage.provenance import read_provenance

if TYPE_CHECKING:
    import pandas

__all__ = [
    "load_config",
    "load_projects",
    "load_provenance",
    "load_run",
    "load_runs",
    "read_histograms",
    "read_media",
    "read_metrics",
    "read_system_metrics",
]

Record = dict[str, Any]
_TIME = re.compile(r"([\d-]+T[\d:]+)(?:\.(\d{1,9}))?Z")


def load_runs(
    base_dir: str | os.PathLike[str] = "experiments",
    project: str | None = None,
    experiment: str | None = None,
    group: str | None = None,
    status: str | None = None,
    tags: str | Collection[str] | None = None,
    to_pandas: bool = False,
) -> list[Record] | pandas.DataFrame:
    """Runs as dicts, newest first, as in expman-rs; see `expman.runs` for more.

    Args:
        base_dir: directory that holds all experiments.
        project: only runs whose experiment.yaml names this project.
        experiment: only runs of this experiment.
        group: only runs of this group.
        status: only runs with this status, in any letter case.
        tags: tags that a run must all have, or an expression.
        to_pandas: return a DataFrame.

    Raises:
        ValueError: the status is unknown.
    """
    wanted = None if status is None else RunStatus.parse(status)
    tag_filter = None if tags is None else TagFilter(tags, strict=False)
    base = os.fspath(base_dir)
    projects: dict[str, object] = {}
    found = []
    for run_dir in run_dirs(base, None if experiment is None else {experiment}, missing_ok=True):
        home = os.path.dirname(run_dir)
        if home not in projects:
            projects[home] = _read(os.path.join(home, paths.EXPERIMENT_YAML)).get("project")
        if project is not None and projects[home] != project:
            continue
        record = load_run(run_dir)
        if wanted is not None and record["status"] != wanted:
            continue
        if group is not None and record["group"] != group:
            continue
        if tag_filter is not None and not tag_filter.matches(record["tags"] or []):
            continue
        for key in ("name", "language", "env_path"):
            del record[key]
        record |= {"run": os.path.basename(run_dir), "experiment": os.path.basename(home)}
        record |= {"path": run_dir, "project": projects[home]}
        record |= {key: record[key] or {} for key in ("scalars", "vectors")}
        record["tags"] = record["tags"] or []
        found.append(record)
    found.sort(key=lambda record: str(record["started_at"]).rstrip("Z"), reverse=True)
    return _frame(found) if to_pandas else found


def read_metrics(
    run_dir: str | os.PathLike[str], to_pandas: bool = False
) -> list[Record] | pandas.DataFrame:
    """Rows as dicts, one per step, as in expman-rs; see `Run.vectors` for more.

    A later row of a step replaces the values that it has; NaN and infinities count as absent.

    Raises:
        StorageError: a file cannot be read.
    """
    path = os.fspath(run_dir)
    rows: list[Record] = []
    by_step: dict[int, Record] = {}
    if os.path.isdir(path):
        for row in _rows(path):
            step = row["step"]
            known = by_step.get(step) if step is not None else None
            if known is not None:
                known.update((key, value) for key, value in row.items() if value is not None)
                continue
            rows.append(row)
            if step is not None:
                by_step[step] = row
    return _frame(rows) if to_pandas else rows


def read_system_metrics(
    run_dir: str | os.PathLike[str], to_pandas: bool = False
) -> list[Record] | pandas.DataFrame:
    """The samples of the machine as dicts, as in expman-rs; see `Run.system` for more.

    Raises:
        StorageError: a file cannot be read.
    """
    path = os.fspath(run_dir)
    rows = list(_rows(path, paths.SYSTEM)) if os.path.isdir(path) else []
    names = sorted({name for row in rows for name in row})
    found = [{name: row.get(name) for name in names} for row in rows]
    return _frame(found) if to_pandas else found


def read_media(run_dir: str | os.PathLike[str]) -> list[Record]:
    """The lines of media.jsonl as dicts, as in expman-rs; see `Run.media` for more.

    Raises:
        StorageError: it cannot be read.
    """
    return [
        {
            "bytes": item.bytes,
            "file": item.file,
            "logged_at": None if item.logged_at is None else item.logged_at.isoformat(),
            "step": item.step,
            "tag": item.tag,
        }
        for item in media.read_media(os.fspath(run_dir))
    ]


def read_histograms(run_dir: str | os.PathLike[str]) -> list[Record]:
    """The histograms as dicts, as in expman-rs: edges and counts are JSON; see `Run.histograms`.

    Raises:
        StorageError: a file cannot be read.
    """
    path = os.fspath(run_dir)
    found = media.read_histograms(path) if os.path.isdir(path) else []
    return [
        {
            "counts": json.dumps(row.counts, separators=(",", ":")),
            "edges": json.dumps(row.edges, separators=(",", ":")),
            "step": row.step,
            "tag": row.tag,
            "timestamp": row.logged_at.isoformat(),
            "total": row.total,
        }
        for row in found
    ]


def load_provenance(run_dir: str | os.PathLike[str]) -> Record:
    """The content of provenance.yaml, as in expman-rs; empty if there is none.

    Raises:
        StorageError: it is damaged, or cannot be read.
    """
    return {key: _plain(value) for key, value in read_provenance(os.fspath(run_dir)).items()}


def _rows(path: str, stem: str = paths.VECTORS) -> Iterator[Record]:
    """Yields rows with the keys of the file that they are in."""
    for table in read_parts(path, stem):
        floats = [field.name for field in table.schema if pa.types.is_floating(field.type)]
        row: Record
        for row in python_rows(table):
            row["timestamp"] = _stamp(row["timestamp"])
            for name in floats:
                value = row[name]
                if value is not None and not math.isfinite(value):
                    row[name] = None
            yield row


def load_run(run_dir: str | os.PathLike[str]) -> Record:
    """The content of run.yaml as a dict, as in expman-rs; see `Run.metadata` for more.

    A directory whose run.yaml is absent or damaged counts as a CRASHED run without any facts.
    """
    path = os.path.abspath(os.fspath(run_dir))
    try:
        yaml = RunYaml(path)
        known, status = dict(yaml.whole), yaml.status
        yamlfile.add_rest(yaml.path, known)
        known["name"] = known.get("name") or os.path.basename(path)
        known["experiment"] = known.get("experiment") or os.path.basename(os.path.dirname(path))
    except (FileNotFoundError, NotADirectoryError, StorageError):
        now = datetime.datetime.now(datetime.UTC)
        known = {"name": os.path.basename(path), "experiment": "unknown", "started_at": now}
        status, yaml = RunStatus.CRASHED, None
    record: Record = {"status": str(status)}
    for key in ("started_at", "finished_at", "heartbeat_at"):
        record[key] = _time(yaml.text(key) if yaml is not None else known.get(key))
    for key in ("name", "experiment", *_PLAIN_KEYS):
        record[key] = known.get(key)
    tags = known.get("tags")
    record["tags"] = [str(tag) for tag in tags] if isinstance(tags, list) else None
    for key in ("scalars", "vectors"):
        values = known.get(key)
        record[key] = (
            {str(name): _value(value) for name, value in values.items()}
            if isinstance(values, dict)
            else None
        )
    return record


def load_config(run_dir: str | os.PathLike[str]) -> Record:
    """The parameters as a dict, as in expman-rs; empty if there are none.

    Dates come as text, NaN and infinities as None.

    Raises:
        StorageError: config.yaml is damaged.
    """
    found = read_params(os.fspath(run_dir), dates=False)
    return {key: _plain(value) for key, value in found.items()}


def load_projects(base_dir: str | os.PathLike[str] = "experiments") -> list[Record]:
    """Projects as dicts, sorted by id, each with the names of its experiments.

    A project exists if `.projects/ID/project.yaml` describes it, as expman-rs's dashboard does, or
    if an experiment's experiment.yaml names it.

    Args:
        base_dir: directory that holds all experiments.

    Raises:
        StorageError: a file cannot be read.
    """
    base = os.fspath(base_dir)
    members: dict[str, list[str]] = {}
    for name in experiments(base) if os.path.isdir(base) else []:
        project = _read(os.path.join(base, name, paths.EXPERIMENT_YAML)).get("project")
        if project:
            members.setdefault(str(project), []).append(name)
    home = os.path.join(base, ".projects")
    described = os.listdir(home) if os.path.isdir(home) else []
    found = []
    for key in sorted({*members, *described}):
        path = os.path.join(home, key, "project.yaml") if key in described else ""
        if key not in members and not os.path.exists(path):
            continue
        known = _read(path)
        record = {name: known.get(name) for name in _PROJECT_KEYS}
        record |= {"id": key, "tags": known.get("tags") or []}
        record |= {"generated": bool(known.get("generated")), "experiments": members.get(key, [])}
        found.append(record)
    return found


_PROJECT_KEYS = ("display_name", "description", "created_at", "generated_from")
_PLAIN_KEYS = ("duration_secs", "description", "group", "rank", "language", "env_path")


def _read(path: str) -> dict[str, object]:
    return yamlfile.read_yaml(path, dates=False, follow=True) if os.path.exists(path) else {}


def _value(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    return value


def _plain(value: object) -> object:
    match value:
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case float():
            return value if math.isfinite(value) else None
        case bool() | str() | None:
            return value
        case int():
            return value if -(2**63) <= value < 2**63 else float(value)
    return str(value)


def _time(value: object) -> str | None:
    """Returns a time as expman-rs prints it, with 0, 3, 6 or 9 digits, as many as needed."""
    match = _TIME.fullmatch(str(value).replace("+00:00", "Z").replace(" ", "T"))
    if value is None or match is None:
        return None
    return match[1] + _fraction((match[2] or "").ljust(9, "0")) + "Z"


def _stamp(moment: datetime.datetime | None) -> str | None:
    if moment is None:
        return None
    whole = moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return whole + _fraction(f"{moment.microsecond:06d}000") + "+00:00"


def _fraction(nanoseconds: str) -> str:
    digits = len(nanoseconds.rstrip("0"))
    return f".{nanoseconds[: -(-digits // 3) * 3]}" if digits else ""


def _frame(rows: list[Record]) -> pandas.DataFrame:
    with needs("pandas"):
        import pandas

    return pandas.DataFrame(rows)
