"""Files as neptune-exporter writes them, and damaged ones."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

from unit.importers.conftest import DATA, Import, damaged_files, import_anything

import expman
from expman.importers.formats import find
from expman.models import RunStatus


def test_an_export(importing: Import) -> None:
    """Series by step, parameters, facts of the run, console, files, histograms."""
    (made,) = importing(DATA / "neptune").values()
    run = expman.Run(made.run_dir)
    rows = run.vectors().to_pylist()
    assert [0, 1, 2, 3, 1] == [row["step"] for row in rows]
    assert [(1.0, 0.0), (0.5, 0.1)] == [(row["train/loss"], row["train/acc"]) for row in rows[:2]]
    assert ("hello", 7.0) == (rows[2]["note"], rows[4]["half"])
    assert 1738324801.0 == rows[1]["timestamp"].timestamp()
    expected = {"lr": 0.1, "layers": 3, "fast": True, "name": "größer"}
    params = {f"parameters/{name}": value for name, value in expected.items()}
    assert {**params, "sys/owner": "me"} == run.config
    meta = run.metadata
    assert ("RUN-1", RunStatus.FAILED, "a try") == (run.name, meta.status, meta.description)
    assert (["a", "b"], "night", "lab/digits") == (meta.tags, meta.group, meta.project)
    assert ["printed"] == [line.text for line in run.console()]
    assert "weights" == (Path(run.path) / "artifacts" / "model.txt").read_text()
    assert [("pictures", 3)] == [(item.tag, item.step) for item in run.media()]
    (histogram,) = run.histograms()
    assert ([0.0, 1.0, 2.0], [3, 4]) == (histogram.edges, histogram.counts)
    assert made.report is not None
    left_out = {"files that are not there": 1, "fractions of steps": 1}
    assert Counter({**left_out, "values of type unknown_kind": 1}) == made.report.left_out


def test_what_is_not_imported() -> None:
    """A run whose export has not ended has no part 0."""
    left_out: Counter[str] = Counter()
    (sources,) = find(str(DATA / "neptune"), left_out).values()
    assert (["digits"], 1) == ([source.experiment for source in sources], left_out.total())


def test_damaged_files(importing: Import, tmp_path: Path) -> None:
    """Whatever is in a file, the import ends, with whole runs."""
    store = tmp_path / "neptune"
    shutil.copytree(DATA / "neptune", store)
    (file,) = store.rglob("*RUN-1*_part_0.parquet")
    for data in damaged_files(file.read_bytes(), 1, 40):
        file.write_bytes(data)
        import_anything(importing, store, "neptune")
