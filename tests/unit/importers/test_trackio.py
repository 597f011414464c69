"""A project that trackio 0.43.0 has written, and damaged ones."""

from __future__ import annotations

import math
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from unit.importers.conftest import DATA, Import, damaged_files, import_anything

import expman


@pytest.fixture
def store(tmp_path: Path) -> Path:
    place = tmp_path / "store"
    shutil.copytree(DATA / "trackio", place)
    database = sqlite3.connect(place / "digits.db")
    database.executescript((place / "digits.sql").read_text())
    database.close()
    return place


def test_a_project(importing: Import, store: Path) -> None:
    """Rows, configuration, media, histograms, samples, alerts, artifacts; runs of one name."""
    made = importing(store)
    assert {"run_one", "run_one-1"} == set(made)
    run = expman.Run(made["run_one"].run_dir)
    rows = run.vectors().to_pylist()
    assert [0, 1, 2, 3, 5] == [row["step"] for row in rows]
    assert [1.0, 0.5] == [row["loss"] for row in rows[:2]]
    assert (3, "text", True) == (rows[3]["nested/x"], rows[3]["t"], math.isnan(rows[3]["odd"]))
    assert -math.inf == rows[4]["inf"]
    assert ({"lr": 0.1, "n": {"a": 1}}, "g") == (run.config, run.group)
    kinds = {(item.tag, item.kind) for item in run.media()}
    assert {("img", "image"), ("table", "table"), ("md", "text")} == kinds
    (histogram,) = run.histograms()
    assert (3.0, 1.0, 2.0) == (histogram.total, histogram.edges[0], histogram.edges[-1])
    assert ["title: text"] == [entry.message for entry in run.log()]
    assert "weights" == (Path(run.path) / "artifacts" / "model" / "v0" / "w.txt").read_text()
    assert (Path(run.path) / "system.parquet").exists()
    assert made["run_one"].report is not None
    assert Counter({"list in a row": 1}) == made["run_one"].report.left_out


def test_an_earlier_version(importing: Import, tmp_path: Path) -> None:
    """Its tables knew runs by their names."""
    database = sqlite3.connect(tmp_path / "old.db")
    database.executescript(
        "CREATE TABLE metrics (id INTEGER PRIMARY KEY, timestamp TEXT, run_name TEXT,"
        " step INTEGER, metrics TEXT);"
        "CREATE TABLE configs (id INTEGER PRIMARY KEY, run_name TEXT, config TEXT);"
        "INSERT INTO metrics VALUES (1, '2026-01-31T12:00:00', 'a', 0, '{\"loss\": 0.5}');"
        "INSERT INTO metrics VALUES (2, '2026-01-31T12:00:01', 'a', 1, '{\"loss\": \"NaN\"}');"
        "INSERT INTO configs VALUES (1, 'a', '{\"lr\": 1}');"
    )
    database.close()
    (made,) = importing(tmp_path / "old.db").values()
    run = expman.Run(made.run_dir)
    assert ("a", 2, {"lr": 1}) == (run.name, made.rows, run.config)
    assert 1769860801.0 == run.vectors()["timestamp"].to_pylist()[1].timestamp()


def test_damaged_databases(importing: Import, store: Path) -> None:
    """Whatever is in the file, the import ends, with whole runs."""
    place = store / "digits.db"
    for data in damaged_files(place.read_bytes(), 1, 25):
        place.write_bytes(data)
        import_anything(importing, store, "trackio")
