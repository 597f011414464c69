"""MLflow: `MLFLOW_TRACKING_URI=expman:///path/of/experiments` records its runs here, too."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

from expman import notices
from expman.engine import LoggingEngine
from expman.errors import ExpmanError
from expman.integrations.own_run import OwnRun, as_name, needs
from expman.models import LogLevel

with needs("mlflow"):
    from mlflow.entities import RunStatus as MlflowStatus
    from mlflow.store.model_registry import sqlalchemy_store as registry
    from mlflow.store.tracking import sqlalchemy_store as tracking

__all__ = ["MirroringStore", "registry_at"]

_HOME = ".mlflow"
_PARENT = "mlflow.parentRunId"
_NOTE = "mlflow.note.content"


class MirroringStore(tracking.SqlAlchemyStore):
    """MLflow's own store in SQLite, which also records each of its runs as a run of expman.

    MLflow reads what it has written from its database, `.mlflow/mlflow.db` in the base directory;
    its artifacts lie beside that. So each function of MLflow works as ever. What a run logs, that
    is parameters, metrics with their step and time, and tags, is in a run of expman as well.

    Args:
        store_uri: `expman:` and the base directory.
        artifact_uri: where MLflow keeps artifacts, if not there.
    """

    def __init__(self, store_uri: str, artifact_uri: str | None = None) -> None:
        base = _base_of(store_uri)
        self._mirror = _Mirror(base)
        super().__init__(_database(base), artifact_uri or os.path.join(base, _HOME, "artifacts"))

    def create_run(self, *args: Any, **kwargs: Any) -> Any:
        """Creates a run, and begins that of expman."""
        run = super().create_run(*args, **kwargs)
        self._mirrored(run.info.run_id)
        return run

    def update_run_info(
        self, run_id: str, run_status: Any, end_time: int | None, run_name: str | None
    ) -> Any:
        """Ends the run of expman where MLflow ends its own."""
        info = super().update_run_info(run_id, run_status, end_time, run_name)
        if run_status is not None and MlflowStatus.is_terminated(run_status):
            self._mirror.end(run_id, MlflowStatus.to_string(run_status))
        return info

    def log_metric(self, run_id: str, metric: Any) -> None:
        """Logs a metric, as a row."""
        super().log_metric(run_id, metric)
        _log_metrics(self._mirrored(run_id), [metric])

    def log_param(self, run_id: str, param: Any) -> Any:
        """Records a parameter."""
        logged = super().log_param(run_id, param)
        self._mirrored(run_id).log_params({param.key: param.value})
        return logged

    def set_tag(self, run_id: str, tag: Any) -> None:
        """Sets a tag."""
        super().set_tag(run_id, tag)
        self._mirror_tags(run_id, [tag])

    def log_batch(self, run_id: str, metrics: Any, params: Any, tags: Any) -> None:
        """Logs several records; metrics of one step and time are one row."""
        super().log_batch(run_id, metrics, params, tags)
        if metrics or params:
            run = self._mirrored(run_id)
            _log_metrics(run, metrics)
            run.log_params({param.key: param.value for param in params})
        self._mirror_tags(run_id, tags)

    def _mirror_tags(self, run_id: str, tags: Iterable[Any]) -> None:
        """Tags alone begin no run: pages and other tools tag runs that have long ended."""
        run = self._mirror.find(run_id)
        if run is not None:
            _log_tags(run, {tag.key: tag.value for tag in tags})

    def _mirrored(self, run_id: str) -> OwnRun:
        found = self._mirror.find(run_id)
        if found is None:
            run = self.get_run(run_id)
            found = self._mirror.begin(run, self.get_experiment(run.info.experiment_id).name)
        return found


class _Mirror:
    """The runs of expman that this process has begun, by the ids of MLflow's.

    A run that goes on after its end, or in another process, is one more run of the same group.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._runs: dict[str, OwnRun] = {}
        self._lock = threading.RLock()

    def find(self, run_id: str) -> OwnRun | None:
        return self._runs.get(run_id)

    def begin(self, run: Any, experiment: str) -> OwnRun:
        info, tags = run.info, run.data.tags
        with self._lock:
            found = self._runs.get(info.run_id)
            if found is not None:
                return found
            settings = {
                "base_dir": self._base,
                "group": tags.get(_PARENT, info.run_id),
                "suffix_if_taken": True,
            }
            begun = OwnRun(as_name(experiment), None, settings, joins=False)
            try:
                begun.begin(info.run_name)
            except ExpmanError as exc:  # MLflow has the run all the same
                notices.warn(f"expman: no run for MLflow's run {info.run_id}: {exc}")
            self._runs[info.run_id] = begun
        begun.log_scalar("mlflow.run_id", info.run_id)
        begun.say(LogLevel.INFO, f"artifacts of MLflow: {info.artifact_uri}")
        if run.data.params:
            begun.log_params(run.data.params)
        _log_tags(begun, tags)
        return begun

    def end(self, run_id: str, status: str) -> None:
        with self._lock:
            run = self._runs.pop(run_id, None)
        if run is None:
            return
        if status == "FINISHED":
            run.end()
        else:
            run.end(sys.exc_info()[1] or f"MLflow's status is {status}")


def _log_metrics(run: OwnRun, metrics: Iterable[Any]) -> None:
    """A row per step and time; of a metric that has two values there, each is in a row."""
    rows: dict[tuple[int, int], list[dict[str, float]]] = {}
    for metric in metrics:
        found = rows.setdefault((metric.step, metric.timestamp), [{}])
        if metric.key in found[-1]:
            found.append({})
        found[-1][metric.key] = metric.value
    for (step, milliseconds), same in rows.items():
        for row in same:
            run.log(row, step, milliseconds * 1_000_000)


def _log_tags(run: OwnRun, tags: dict[str, str]) -> None:
    for key, value in tags.items():
        if key == _NOTE:
            run.attempt(LoggingEngine.set_description, value)
        elif not key.startswith("mlflow."):
            run.log_scalar(f"tags/{key}", value)


def registry_at(store_uri: str) -> Any:
    """MLflow's registry of models in the same database."""
    return registry.SqlAlchemyStore(_database(_base_of(store_uri)))


def _base_of(store_uri: str) -> str:
    """The base directory that an address names, as `expman:///data/runs` or `expman:runs`."""
    parts = urlsplit(store_uri)
    return os.path.abspath(unquote(parts.netloc + parts.path) or ".")


def _database(base: str) -> str:
    os.makedirs(os.path.join(base, _HOME), exist_ok=True)
    return f"sqlite:///{os.path.join(base, _HOME, 'mlflow.db')}"
