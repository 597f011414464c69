"""Event files and MLflow's store: what is written can be read, and what is left out is counted.

Both were also read by the real packages, tensorboard 2.21.0 and MLflow 3.17.2.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from unit.importers.conftest import Import

import expman
from expman.exporters.exported import whole_directory, whole_file
from expman.exporters.mlflow import export_mlflow
from expman.exporters.tensorboard import export_events
from expman.models import RunStatus

ODD = {"loss[a]": 1.0, "loss_a_": 2.0, "größe": 3.0, "a": 4.0, "a/b": 5.0, "..": 6.0, "x:y/": 7.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> expman.Run:
    """A run with a little of everything."""
    base = tmp_path_factory.mktemp("exported")
    config = expman.ExperimentConfig(
        "digits", base, run_name="one", tags=("a", "team=x"), description="a try"
    )
    (base / "model.bin").write_bytes(b"weights")
    with expman.LoggingEngine(config) as engine:
        engine.log_params({"lr": 0.1, "model": {"layers": [8, 8]}, "fast": True, "none": None})
        for step in range(3):
            engine.log_vector({"loss": 1 / (step + 1), "ok": step > 1, "phase": f"p{step}"}, step)
        engine.log_vector({"odd": math.nan, "large": 1e300, **ODD})
        engine.log_scalar("best", 0.25)
        engine.log_scalar("note", "text")
        engine.log_histogram("h", [1.0, 2.0, 2.0], 1, bins=4)
        engine.log_image("img", [[0, 255], [255, 0]], 2)
        engine.log_text("words", "hello", 2)
        engine.save_artifact(base / "model.bin")
    return expman.Run(engine.run_dir)


def test_event_files(run: expman.Run, importing: Import, tmp_path: Path) -> None:
    """They come back with tags, steps, times, parameters, pictures and histograms."""
    exported = export_events(run, str(tmp_path / "tb"))
    assert {"text": 1, "scalars that are texts": 1} == exported.left_out
    (made,) = importing(tmp_path / "tb", "tensorboard").values()
    back = expman.Run(made.run_dir)
    before, after = run.vectors().to_pylist(), back.vectors().to_pylist()
    for one, two in zip(before[:3], after, strict=False):
        assert (one["step"], one["phase"]) == (two["step"], two["phase"])
        assert (pytest.approx(one["loss"]), one["ok"]) == (two["loss"], bool(two["ok"]))
        assert 0.001 > abs((one["timestamp"] - two["timestamp"]).total_seconds())
    assert {name: value for name, value in after[3].items() if name in ODD} == ODD
    assert (math.inf, True) == (after[3]["large"], math.isnan(after[3]["odd"]))
    assert 0.25 == after[-1]["best"]
    params = {"lr": 0.1, "model.layers": "[8, 8]", "fast": True, "none": "None"}
    assert params == back.config
    assert ["img"] == [item.tag for item in back.media()]
    (one_bins,), (two_bins,) = run.histograms(), back.histograms()
    assert (one_bins.counts, one_bins.edges) == (two_bins.counts, two_bins.edges)


def test_event_files_made_again(run: expman.Run, tmp_path: Path) -> None:
    """The second export takes the place of the first; columns are all that is wanted."""
    export_events(run, str(tmp_path / "tb"))
    (first,) = (tmp_path / "tb").iterdir()
    size = first.stat().st_size
    export_events(run, str(tmp_path / "tb"), ["loss"])
    (second,) = (tmp_path / "tb").iterdir()
    assert (first, True) == (second, second.stat().st_size < size / 2)


def test_mlflow_store(run: expman.Run, importing: Import, tmp_path: Path) -> None:
    """It comes back with metrics, parameters, tags, artifacts and status."""
    store = tmp_path / "mlruns"
    exported = export_mlflow(run, str(store))
    assert {"texts in metrics": 3, "histograms": 1} == exported.left_out
    assert set(ODD) >= set(exported.renamed)
    assert export_mlflow(run, str(store)).place == exported.place
    (made,) = importing(store).values()
    back = expman.Run(made.run_dir)
    rows = back.vectors(merge_steps=True).to_pylist()
    assert [1.0, 0.5, 1 / 3] == [row["loss"] for row in rows[:3]]
    assert [0.0, 0.0, 1.0] == [row["ok"] for row in rows[:3]]
    found = {exported.renamed.get(name, name): value for name, value in ODD.items()}
    assert len(ODD) == len(found)
    assert found.items() <= rows[3].items()
    assert (1e300, 0.25) == (rows[3]["large"], rows[3]["best"])
    params = {"lr": 0.1, "model.layers": "[8, 8]", "fast": True, "none": "None"}
    assert params == back.config
    assert {"a=", "team=x", "note=text"} == set(back.tags)
    assert ("a try", RunStatus.FINISHED) == (back.description, back.status)
    assert abs((run.started_at or 0) - (back.started_at or 0)).total_seconds() < 0.001  # type: ignore
    artifacts = {Path(path).name for path in back.artifacts()}
    assert {"model.bin", *(Path(item.file).name for item in run.media())} == artifacts


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    """What was there stays; what was begun goes."""
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_text("old")
    for begin, name in ((whole_file, "file"), (whole_directory, "folder")):
        with pytest.raises(ValueError, match="no"), begin(str(tmp_path / name)):
            raise ValueError("no")
    assert {"file", "folder"} == set(os.listdir(tmp_path))
    assert "old" == (tmp_path / "file").read_text() == (tmp_path / "folder" / "x").read_text()
