"""Makes mlflow/: a store of files, and the tables of an SQLite store as SQL.

Run with an environment that has mlflow-skinny, sqlalchemy and alembic, in a directory that the
files may name. The committed ones were made with MLflow 3.17.2.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

os.environ |= {"MLFLOW_ALLOW_FILE_STORE": "true", "GIT_PYTHON_REFRESH": "quiet"}

import mlflow

HERE = Path(__file__).parent / "mlflow"
TABLES = ("experiments", "runs", "metrics", "params", "tags", "logged_models", "inputs")


def train(uri: str) -> None:
    """Four runs: one with a child, one that failed, one that was deleted."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("my/exp")
    with mlflow.start_run(run_name="first", description="hello", tags={"team": "x"}) as run:
        mlflow.log_params({"lr": 0.1, "deep": {"a": 1}, "fast": True, "name": "007"})
        for step in range(4):
            mlflow.log_metrics({"train/loss": 1 / (step + 1), "acc": step / 10}, step=step)
        mlflow.log_metrics({"nan": float("nan"), "inf": float("-inf")}, step=2)
        mlflow.log_text("weights", "sub/dir/m.txt")
        Path("net").mkdir(exist_ok=True)
        Path("net/w.txt").write_text("w")
        model = mlflow.initialize_logged_model("net", source_run_id=run.info.run_id)
        mlflow.MlflowClient().log_model_artifacts(model.model_id, "net")
        mlflow.finalize_logged_model(model.model_id, "READY")
        with mlflow.start_run(nested=True, run_name="child"):
            mlflow.log_metric("x", 1.0)
    try:
        with mlflow.start_run(run_name="first"):
            mlflow.log_metric("x", 1.0, step=-3)
            raise ValueError("no")
    except ValueError:
        pass
    gone = mlflow.start_run(run_name="gone")
    mlflow.end_run()
    mlflow.delete_run(gone.info.run_id)


shutil.rmtree(HERE, ignore_errors=True)
HERE.mkdir()
train("file:./files")
train("sqlite:///store.db")
shutil.copytree("files", HERE / "files")
shutil.copytree("mlruns", HERE / "mlruns")
database = sqlite3.connect("store.db")
lines = []
for table in TABLES:
    (sql,) = database.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    lines.append(f"{sql};")
    for row in database.execute(f"SELECT * FROM {table}"):
        quoted = [database.execute("SELECT quote(?)", (value,)).fetchone()[0] for value in row]
        values = ", ".join(map(str, quoted))
        lines.append(f"INSERT INTO {table} VALUES ({values});")
(HERE / "store.sql").write_text("\n".join(lines) + "\n")
