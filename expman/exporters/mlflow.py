"""MLflow's store of files: `<store>/<experiment>/<run>/`, with a file for each metric."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping

from expman.errors import StorageError
from expman.exporters.exported import Exported, flat_params, whole_directory
from expman.models import RunStatus, safe_text
from expman.reading.rows import python_rows
from expman.reading.run import Run
from expman.storage.paths import MEDIA
from expman.storage.provenance import read_provenance
from expman.storage.times import since_epoch_ns
from expman.storage.yamlfile import read_yaml, write_yaml

__all__ = ["export_mlflow"]

_META = "meta.yaml"
_STATUS = {
    RunStatus.RUNNING: 1,
    RunStatus.FINISHED: 3,
    RunStatus.FAILED: 4,
    RunStatus.CRASHED: 5,  # KILLED
}
_LOCAL = 4
_NOT_ALLOWED = re.compile(r"[^\w\-. :/]", re.ASCII)
_MOST_NAME = 240
_MOST_WAITING = 100_000
_FIXED = ("step", "timestamp")


class _Names:
    """Names that MLflow allows, and of which none is a directory of another one."""

    def __init__(self, exported: Exported) -> None:
        self._exported = exported
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def of(self, name: str) -> str:
        """The name of a file; a name that is changed is noted."""
        parts = _NOT_ALLOWED.sub("_", safe_text(name)).split("/")
        found = "/".join(part if part.strip(". ") else "_" for part in parts)[:_MOST_NAME]
        if any(folder in self._files for folder in _above(found)):
            found = found.replace("/", "_")
        while found in self._files or found in self._folders or found.endswith("/"):
            found += "_"
        if found != name:
            self._exported.renamed[name] = found
        self._files.add(found)
        self._folders.update(_above(found))
        return found


def _above(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def export_mlflow(run: Run, store: str) -> Exported:
    """Writes the run into a store, which is made if it is not there.

    The experiment is the one of the run's experiment's name. An export that is made again takes the
    place of the earlier one.

    Args:
        run: the run.
        store: a directory such as `mlruns`.

    Raises:
        StorageError: the run cannot be read, or the store is damaged.
        OSError: the store cannot be written.
    """
    exported = Exported()
    os.makedirs(store, exist_ok=True)
    experiment = _experiment(os.path.abspath(store), run)
    began = run.metadata.started_at or ""
    identity = "\n".join((run.experiment, run.name, began))
    run_id = hashlib.sha256(identity.encode("utf-8", "backslashreplace")).hexdigest()[:32]
    exported.place = os.path.join(experiment, run_id)
    with whole_directory(exported.place) as folder:
        for name in ("metrics", "params", "tags", "artifacts"):
            os.mkdir(os.path.join(folder, name))
        _write_metrics(run, os.path.join(folder, "metrics"), exported)
        _write_texts(os.path.join(folder, "params"), _params(run), exported)
        _write_texts(os.path.join(folder, "tags"), _tags(run), exported)
        _copy_files(run, os.path.join(folder, "artifacts"), exported)
        write_yaml(os.path.join(folder, _META), _meta(run, exported.place, run_id))
    exported.left_out = +exported.left_out  # without zeros
    return exported


def _experiment(store: str, run: Run) -> str:
    """The directory of the experiment with the run's experiment's name; it is made if need be."""
    name = run.experiment
    for entry in sorted(os.listdir(store)):
        if _name_of(os.path.join(store, entry, _META)) == name:
            return os.path.join(store, entry)
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).digest()
    number = str(10**17 + int.from_bytes(digest[:8], "big") % (9 * 10**17))
    folder = os.path.join(store, number)
    with whole_directory(folder) as temp:
        moment = since_epoch_ns(run.metadata.started_at) // 10**6
        meta = {
            "artifact_location": f"file://{folder}",
            "creation_time": moment,
            "experiment_id": number,
            "last_update_time": moment,
            "lifecycle_stage": "active",
            "name": name,
        }
        write_yaml(os.path.join(temp, _META), meta)
    return folder


def _name_of(path: str) -> object:
    """The name of an experiment; None if its file is damaged, or not there."""
    try:
        return read_yaml(path, dates=False).get("name") if os.path.isfile(path) else None
    except StorageError:
        return None


def _meta(run: Run, place: str, run_id: str) -> dict[str, object]:
    meta = run.metadata
    ended = since_epoch_ns(meta.finished_at) // 10**6 if meta.finished_at else None
    return {
        "artifact_uri": f"file://{place}/artifacts",
        "end_time": ended,
        "entry_point_name": "",
        "experiment_id": os.path.basename(os.path.dirname(place)),
        "lifecycle_stage": "active",
        "run_id": run_id,
        "run_name": run.name,
        "run_uuid": run_id,
        "source_name": "",
        "source_type": _LOCAL,
        "source_version": "",
        "start_time": since_epoch_ns(meta.started_at) // 10**6,
        "status": _STATUS[meta.status],
        "tags": [],
        "user_id": "",
    }


# -- metrics --------------------------------------------------------------------------------------


class _Lines:
    """Lines for many files, of which none stays open."""

    def __init__(self, folder: str, names: _Names) -> None:
        self._folder = folder
        self._names = names
        self._waiting = 0
        self.lines: dict[str, list[str]] = {}
        self._paths: dict[str, str] = {}

    def add(self, metric: str, time_ms: int, value: object, step: int) -> None:
        """Takes a value: milliseconds, value, step."""
        line = f"{time_ms} {float(value)!r} {step}\n"  # type: ignore[arg-type]
        self.lines.setdefault(metric, []).append(line)
        self._waiting += 1
        if self._waiting > _MOST_WAITING:
            self.write()

    def write(self) -> None:
        """Appends what waits."""
        for metric, lines in self.lines.items():
            if metric not in self._paths:
                path = os.path.join(self._folder, *self._names.of(metric).split("/"))
                os.makedirs(os.path.dirname(path), exist_ok=True)
                self._paths[metric] = path
            with open(self._paths[metric], "a", encoding="utf-8") as file:
                file.writelines(lines)
            lines.clear()
        self._waiting = 0


def _write_metrics(run: Run, folder: str, exported: Exported) -> None:
    """A file for each metric, with a line for each number. Texts are counted."""
    lines = _Lines(folder, _Names(exported))
    metrics = [name for name in run.metrics if name not in _FIXED]
    last = 0
    for number, row in enumerate(python_rows(run.vectors([*_FIXED, *metrics]))):
        moment, step = row["timestamp"], row["step"]
        last = number if step is None else step
        time_ms = 0 if moment is None else int(moment.timestamp() * 1000)
        for metric in metrics:
            value = row[metric]
            if isinstance(value, str):
                exported.left_out["texts in metrics"] += 1
            elif value is not None:
                lines.add(metric, time_ms, value, last)
    end_ms = since_epoch_ns(run.metadata.finished_at) // 10**6
    for key, scalar in run.scalars.items():
        if key not in lines.lines and not isinstance(scalar, str):
            lines.add(key, end_ms, scalar, last)
    lines.write()


# -- texts ----------------------------------------------------------------------------------------


def _write_texts(folder: str, texts: Mapping[str, str], exported: Exported) -> None:
    names = _Names(exported)
    for name, text in texts.items():
        path = os.path.join(folder, *names.of(name).split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)


def _params(run: Run) -> dict[str, str]:
    return {name: str(value) for name, value in flat_params(run.config).items()}


def _tags(run: Run) -> dict[str, str]:
    """Tags as names with values, the description, and where the run was."""
    found = {"mlflow.runName": run.name, "mlflow.source.type": "LOCAL"}
    if run.description:
        found["mlflow.note.content"] = run.description
    for tag in run.tags:
        key, _, value = tag.partition("=")
        found[key or tag] = value
    found |= {key: value for key, value in run.scalars.items() if isinstance(value, str)}
    provenance = _provenance(run)
    git = provenance.get("git")
    if isinstance(git, dict) and git.get("commit"):
        found["mlflow.source.git.commit"] = str(git["commit"])
    if provenance.get("command"):
        found["mlflow.source.name"] = str(provenance["command"])
    if run.group:
        found["group"] = run.group
    return found


def _provenance(run: Run) -> dict[str, object]:
    try:
        return read_provenance(run.path)
    except StorageError:
        return {}


# -- files ----------------------------------------------------------------------------------------


def _copy_files(run: Run, folder: str, exported: Exported) -> None:
    for path, name in _files(run):
        target = os.path.join(folder, *name.split("/"))
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(path, target)
        except FileNotFoundError:
            exported.left_out["files that are not there"] += 1
    exported.left_out["histograms"] += len(run.histograms())


def _files(run: Run) -> Iterator[tuple[str, str]]:
    """Paths of artifacts and media, and their names in the store."""
    home = os.path.join(run.path, "artifacts")
    for path in run.artifacts():
        yield path, os.path.relpath(path, home)
    for item in run.media():
        if item.file.startswith(f"{MEDIA}/"):
            yield item.path, item.file
