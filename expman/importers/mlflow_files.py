"""MLflow's store of files: `mlruns/<experiment>/<run>/`, with a file for each metric."""

from __future__ import annotations

import heapq
import os
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping

from expman.errors import StorageError
from expman.importers.files import files_below
from expman.importers.imported_run import modified_times
from expman.importers.mlflow_run import MlflowContent, MlflowRun, Point, local_folder
from expman.importers.report import Report
from expman.importers.source import state_of
from expman.importers.walking import walk
from expman.storage.paths import open_regular, read_regular
from expman.storage.yamlfile import read_yaml

__all__ = ["find"]

_META = "meta.yaml"
_TRASH = ".trash"
_MOST_BYTES = 1 << 20
_DAMAGED_LINES = "damaged lines of metrics"


def find(path: str, left_out: Counter[str]) -> list[MlflowRun]:
    """The runs at or below a directory that have a meta.yaml, the earliest first."""
    found = [(_number(meta.get("start_time")) or 0, run) for meta, run in _runs(path, left_out)]
    return [run for _, run in sorted(found, key=lambda pair: pair[0])]


def _runs(path: str, left_out: Counter[str]) -> Iterator[tuple[Mapping[str, object], MlflowRun]]:
    if not os.path.isdir(path):
        return
    experiments: dict[str, str] = {}
    for folder, folders, names in walk(path, left_out):
        if _TRASH in folders:
            folders.remove(_TRASH)
            deleted = len(os.listdir(os.path.join(folder, _TRASH)))
            if deleted:
                left_out["deleted experiments"] += deleted
        if _META not in names:
            continue
        meta = _meta(folder)
        if meta is None:
            left_out["directories whose meta.yaml is damaged"] += 1
        elif "run_id" in meta or "run_uuid" in meta:
            folders.clear()
            if meta.get("lifecycle_stage") == "deleted":
                left_out["deleted runs"] += 1
                continue
            home = os.path.dirname(os.path.abspath(folder))
            if home not in experiments:
                experiments[home] = _text((_meta(home) or {}).get("name")) or "Default"
            yield meta, _run(folder, meta, experiments[home])
        elif "model_id" in meta:
            folders.clear()


def _meta(folder: str) -> dict[str, object] | None:
    path = os.path.join(folder, _META)
    try:
        return read_yaml(path, dates=False, follow=True) if os.path.isfile(path) else None
    except StorageError:
        return None


def _run(folder: str, meta: Mapping[str, object], experiment: str) -> MlflowRun:
    run_id = _text(meta.get("run_id") or meta.get("run_uuid"))
    paths = [path for _, path in files_below(folder)]
    name = _text(meta.get("run_name") or meta.get("name"))
    return MlflowRun(
        place=folder,
        run_id=run_id,
        name=name or _small_file(os.path.join(folder, "tags", "mlflow.runName")) or "",
        experiment=experiment,
        read=lambda report: _content(folder, run_id, meta, report),
        size=sum(os.path.getsize(path) for path in paths if os.path.isfile(path)),
        state=state_of(paths),
        times=modified_times([os.path.join(folder, _META)]),
    )


def _content(folder: str, run_id: str, meta: Mapping[str, object], report: Report) -> MlflowContent:
    home = os.path.dirname(os.path.dirname(os.path.abspath(folder)))
    artifacts = os.path.join(folder, "artifacts")
    uri = _text(meta.get("artifact_uri"))
    place: str | None = artifacts
    if not os.path.isdir(artifacts):
        place = local_folder(uri, home, run_id, report) if uri else None
    places = [(place, "")] if place else []
    places += list(_models(os.path.dirname(os.path.abspath(folder)), run_id))
    inputs = os.path.join(folder, "inputs")
    if os.path.isdir(inputs):
        report.leave_out("inputs", len(os.listdir(inputs)))
    return MlflowContent(
        points=_points(os.path.join(folder, "metrics"), report),
        params=_small_files(os.path.join(folder, "params"), report),
        tags=_small_files(os.path.join(folder, "tags"), report),
        status=_text(meta.get("status")),
        start_ms=_number(meta.get("start_time")),
        end_ms=_number(meta.get("end_time")),
        artifacts=places,
    )


def _models(experiment: str, run_id: str) -> Iterator[tuple[str, str]]:
    """Models that a run has logged, since MLflow 3 beside the runs."""
    models = os.path.join(experiment, "models")
    for name in sorted(os.listdir(models)) if os.path.isdir(models) else ():
        meta = _meta(os.path.join(models, name)) or {}
        place = os.path.join(models, name, "artifacts")
        if meta.get("source_run_id") == run_id and os.path.isdir(place):
            yield place, f"models/{_text(meta.get('name')) or name}/"


def _small_files(folder: str, report: Report) -> dict[str, str]:
    found = {}
    for name, path in files_below(folder):
        text = _small_file(path)
        if text is None:
            report.leave_out("files that cannot be read")
        else:
            found[name] = text
    return found


def _small_file(path: str) -> str | None:
    try:
        return read_regular(path, most_bytes=_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return None


def _points(folder: str, report: Report) -> Iterator[Point]:
    """The values of all metrics by time; those of one call have one time."""
    series = []
    for name, path in files_below(folder):
        try:
            series.append(_series(name, path, report))
        except OSError:
            report.leave_out("files that cannot be read")
    return heapq.merge(*series, key=lambda point: (point[1], point[0] or 0))


def _series(name: str, path: str, report: Report) -> Iterator[Point]:
    """The values of one file, in compact form: a run may have many files."""
    times, steps, values = array("q"), array("q"), array("d")
    with os.fdopen(open_regular(path), encoding="utf-8", errors="replace") as file:
        for line in file:
            parts = line.split()
            try:
                time_ms, value = int(parts[0]), float(parts[1])
                step = int(parts[2]) if len(parts) > 2 else 0
                times.append(time_ms)
                try:
                    steps.append(step)
                except OverflowError:
                    times.pop()
                    raise
                values.append(value)
            except (ValueError, IndexError, OverflowError):
                if parts:
                    report.leave_out(_DAMAGED_LINES)
    return (
        (step, time_ms, name, value)
        for time_ms, step, value in zip(times, steps, values, strict=True)
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
