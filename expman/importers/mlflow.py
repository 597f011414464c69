"""MLflow's stores on disk: directories of files, and SQLite with its artifacts beside it.

What MLflow says of a run has one form here, wherever it was read.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping

from expman.importers import mlflow_files, mlflow_sqlite
from expman.importers.files import files_below
from expman.importers.imported_run import ImportedRun
from expman.importers.mlflow_run import MlflowRun
from expman.importers.source import Advance, Source
from expman.models import RunStatus, safe_text

__all__ = ["find"]

_TRACKER = "mlflow"
_NOTE, _PARENT, _NAME = "mlflow.note.content", "mlflow.parentRunId", "mlflow.runName"
_SOURCE, _COMMIT, _REPOSITORY = (
    "mlflow.source.name",
    "mlflow.source.git.commit",
    "mlflow.source.git.repoURL",
)
_KNOWN_TAGS = {_NOTE, _PARENT, _NAME, _SOURCE, _COMMIT, _REPOSITORY, "mlflow.user"}
_KNOWN_TAGS |= {"mlflow.source.type"}
_FINISHED, _FAILED = ("FINISHED", "3"), ("FAILED", "4")
_MS = 10**6


def find(path: str, left_out: Counter[str]) -> list[Source]:
    """The runs of all stores at or below a path. Deleted ones are counted, not imported."""
    runs = [*mlflow_files.find(path, left_out), *mlflow_sqlite.find(path, left_out)]
    return [_source(run) for run in runs]


def _source(found: MlflowRun) -> Source:
    def read(run: ImportedRun, advance: Advance) -> None:
        _read(found, run)
        advance(found.size)

    return Source(
        tracker=_TRACKER,
        path=found.place,
        identity=found.run_id,
        name=found.name or found.run_id,
        read=read,
        size=found.size,
        experiment=found.experiment or None,
        state=found.state,
        times=found.times,
        about=f"imported from MLflow run {found.run_id}",
    )


def _read(found: MlflowRun, run: ImportedRun) -> None:
    content = found.read(run.report)
    facts, tags = run.facts, content.tags
    for step, time_ms, name, value in content.points:
        run.rows.add_point(step, min(max(time_ms, 0), 2**63 // _MS) * _MS, name, value)
    facts.params |= {safe_text(key): _param(value) for key, value in content.params.items()}
    facts.started_ns = _nanoseconds(content.start_ms)
    facts.finished_ns = _nanoseconds(content.end_ms)
    facts.description = tags.get(_NOTE)
    facts.group = tags.get(_PARENT)
    facts.tags = [f"{key}={tags[key]}" for key in sorted(tags) if not key.startswith("mlflow.")]
    own = sum(key.startswith("mlflow.") and key not in _KNOWN_TAGS for key in tags)
    if own:
        run.report.leave_out("tags of MLflow's own", own)
    _set_status(run, content.status)
    _set_provenance(run, tags)
    for folder, prefix in content.artifacts:
        _copy(run, folder, prefix)


def _set_status(run: ImportedRun, status: str) -> None:
    if status in _FINISHED:
        run.facts.status = RunStatus.FINISHED
    elif status in _FAILED:
        run.facts.status = RunStatus.FAILED
        run.facts.reason = "MLflow says that it failed"
    else:
        names = {"1": "RUNNING", "2": "SCHEDULED", "5": "KILLED"}
        word = safe_text(names.get(status, status) or "nothing")
        run.facts.status = RunStatus.CRASHED
        run.facts.reason = f"MLflow said {word} when it was imported"


def _set_provenance(run: ImportedRun, tags: Mapping[str, str]) -> None:
    git = {"commit": tags.get(_COMMIT), "remote": tags.get(_REPOSITORY)}
    git = {key: safe_text(value) for key, value in git.items() if value}
    if git:
        run.provenance["git"] = git
    if tags.get(_SOURCE):
        run.provenance["command"] = safe_text(tags[_SOURCE])


def _copy(run: ImportedRun, folder: str, prefix: str) -> None:
    for name, path in files_below(folder):
        run.files.add_artifact(f"{prefix}{name}", path)


def _param(value: str) -> object:
    """MLflow keeps texts only: what is exactly the text of a number or a bool becomes one."""
    if len(value) > 400:
        return safe_text(value)
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        found = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}.get(value)
    is_plain = isinstance(found, float | int) and str(found) == value
    return found if is_plain else safe_text(value)


def _nanoseconds(time_ms: int | None) -> int | None:
    return None if not time_ms or not 0 < time_ms < 2**63 // _MS else time_ms * _MS
