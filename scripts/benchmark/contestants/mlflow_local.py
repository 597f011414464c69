"""mlflow with its file store, and with SQLite, there also with its asynchronous logging."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path


class _Run:
    def __init__(self, directory: str, variant: str) -> None:
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # needed by those that deprecate it
        os.makedirs(directory, exist_ok=True)
        import mlflow

        path = os.path.abspath(directory)
        mlflow.set_tracking_uri(
            f"file://{path}/mlruns" if variant == "file" else f"sqlite:///{path}/mlflow.db"
        )
        mlflow.set_experiment("bench")
        mlflow.start_run()
        self._mlflow = mlflow
        synchronous = variant != "sqlite-async"
        log_metrics = mlflow.log_metrics

        def log(values: Mapping[str, float], step: int) -> None:
            log_metrics(values, step=step, synchronous=synchronous)

        self.log = log

    def close(self) -> None:
        self._mlflow.flush_async_logging()
        self._mlflow.end_run()


def open_run(directory: str, variant: str) -> _Run:
    """Starts a run in the store that the variant names."""
    return _Run(directory, variant)


def count_rows(directory: str, variant: str) -> int:
    """Counts the values of the first metric."""
    if variant == "file":
        (path,) = Path(directory).rglob("metrics/metric_0")
        return path.read_bytes().count(b"\n")
    with sqlite3.connect(f"file:{directory}/mlflow.db?mode=ro", uri=True) as database:
        query = "SELECT count(*) FROM metrics WHERE key = 'metric_0'"
        return int(database.execute(query).fetchone()[0])


def read_status(directory: str, variant: str) -> str:
    """Reads the run's status."""
    if variant == "file":
        import yaml

        texts = [path.read_text() for path in Path(directory).rglob("meta.yaml")]
        status = yaml.safe_load(next(text for text in texts if "run_id" in text))["status"]
        return {1: "RUNNING", 3: "FINISHED", 4: "FAILED"}.get(status, str(status))
    with sqlite3.connect(f"file:{directory}/mlflow.db?mode=ro", uri=True) as database:
        return str(database.execute("SELECT status FROM runs").fetchone()[0])
