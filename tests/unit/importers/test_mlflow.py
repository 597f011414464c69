"""Stores that MLflow 3.17.2 has written: files, and SQLite; and damaged ones."""

from __future__ import annotations

import math
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from unit.importers.conftest import DATA, Import, damaged_files, import_anything

import expman
from expman.importers.formats import find
from expman.models import RunStatus


@pytest.fixture(params=["files", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store, elsewhere than where it was made."""
    place = tmp_path / "store"
    if request.param == "files":
        shutil.copytree(DATA / "mlflow" / "files", place)
        return place
    make_database(place)
    return place / "store.db"


def make_database(place: Path) -> None:
    shutil.copytree(DATA / "mlflow" / "mlruns", place / "mlruns")
    database = sqlite3.connect(place / "store.db")
    database.executescript((DATA / "mlflow" / "store.sql").read_text())
    database.close()


def test_a_store(importing: Import, store: Path) -> None:
    """Metrics with steps and times, parameters, tags, notes, artifacts, models, status."""
    made = importing(store)
    assert {"first", "first-1", "child"} == set(made)
    run = expman.Run(made["first"].run_dir)
    rows = run.vectors(merge_steps=True).to_pylist()
    assert [0, 1, 2, 3] == [row["step"] for row in rows]
    assert [1.0, 0.5] == [row["train/loss"] for row in rows[:2]]
    assert [0.0, 0.1, 0.2, 0.3] == [row["acc"] for row in rows]
    assert math.isnan(rows[2]["nan"])
    assert -math.inf == rows[2]["inf"]
    assert {"lr": 0.1, "deep": "{'a': 1}", "fast": True, "name": "007"} == run.config
    assert (["team=x"], "hello") == (run.tags, run.metadata.description)
    assert run.started_at is not None
    began = run.started_at.timestamp()
    assert all(0 <= row["timestamp"].timestamp() - began < 10 for row in rows)
    found = {path.relative_to(run.path).as_posix() for path in Path(run.path).rglob("*.txt")}
    assert {"artifacts/sub/dir/m.txt", "artifacts/models/net/w.txt"} == found
    child, failed = (expman.Run(made[name].run_dir) for name in ("child", "first-1"))
    assert child.group
    assert (RunStatus.FINISHED, RunStatus.FAILED) == (child.status, failed.status)
    assert [-3] == failed.vectors()["step"].to_pylist()


def test_what_is_not_imported(store: Path) -> None:
    """Deleted runs are counted."""
    left_out: Counter[str] = Counter()
    (sources,) = find(str(store), left_out).values()
    assert {"my/exp"} == {source.experiment for source in sources}
    assert 1 == left_out["deleted runs"]


def test_the_same_again(importing: Import, store: Path) -> None:
    """It changes nothing."""
    importing(store)
    assert [None] * 3 == [made.report for made in importing(store).values()]


def test_a_run_that_goes_on(importing: Import, tmp_path: Path) -> None:
    """A run that MLflow calls RUNNING, or KILLED, did not finish."""
    make_database(tmp_path / "store")
    database = sqlite3.connect(tmp_path / "store" / "store.db")
    with database:
        database.execute("UPDATE runs SET status = 'RUNNING', end_time = NULL")
    database.close()
    made = importing(tmp_path / "store" / "store.db")
    run = expman.Run(made["first"].run_dir)
    assert (RunStatus.CRASHED, True) == (run.status, "RUNNING" in str(run.metadata.reason))


def test_artifacts_of_others_stay(importing: Import, tmp_path: Path) -> None:
    """A foreign store cannot name any directory of this machine."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key").write_text("secret")
    make_database(tmp_path / "store")
    database = sqlite3.connect(tmp_path / "store" / "store.db")
    with database:
        database.execute("UPDATE runs SET artifact_uri = ?", (f"file://{tmp_path}/private",))
    database.close()
    made = importing(tmp_path / "store" / "store.db")
    assert [] == list(Path(made["first"].run_dir).rglob("key"))
    assert made["first"].report is not None
    assert 1 == made["first"].report.left_out["artifacts at an unknown place"]


def test_damaged_databases(importing: Import, tmp_path: Path) -> None:
    """Whatever is in the file, the import ends, with whole runs."""
    make_database(tmp_path / "store")
    place = tmp_path / "store" / "store.db"
    for data in damaged_files(place.read_bytes(), 1, 25):
        place.write_bytes(data)
        import_anything(importing, place, "mlflow")


def test_damaged_files(importing: Import, tmp_path: Path) -> None:
    """The same for files: damaged lines are counted, a damaged meta.yaml costs its run."""
    store = tmp_path / "store"
    shutil.copytree(DATA / "mlflow" / "files", store)
    files = sorted(path for path in store.rglob("*") if path.is_file())
    for number, file in enumerate(files):
        whole = file.read_bytes()
        for data in damaged_files(whole, number, 1) if whole else ():
            file.write_bytes(data)
        import_anything(importing, store, "mlflow")
        file.write_bytes(whole)
