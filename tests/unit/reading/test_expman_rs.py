"""load_runs, load_run, load_config and read_metrics give what expman-rs 1.3.0 was seen to give.

`tests/interop/test_expman_rs_both_ways.py` asks the real package.
"""

from __future__ import annotations

import datetime
import math
from pathlib import Path

import pytest
from unit.reading.run_files import block, make_run

import expman


def test_one_row_per_step(tmp_path: Path) -> None:
    """Rows of a step are merged where the step first stood; NaN and infinity are no values."""
    rows = block(0, {"a": [1.0, math.nan, 5.0, math.inf], "t": ["x", None, None, "z"]})
    rows.steps[:] = [2, 2, 1, 2]
    extra = block(4, {"a": [7.0, 8.0]})
    extra.steps[:] = [None, None]
    rows.timestamps_ns[:] = [1_000, 2_000_000, 0, 1_500_000_000]

    found = expman.read_metrics(make_run(tmp_path, "r", rows, extra))

    assert [2, 1, None, None] == [row["step"] for row in found]
    assert [1.0, 5.0, 7.0, 8.0] == [row["a"] for row in found]
    assert ["z", None, None, None] == [row["t"] for row in found]
    assert [3, 2, 4, 5] == [row["_seq"] for row in found]
    assert ["1970-01-01T00:00:01.500+00:00", "1970-01-01T00:00:00+00:00"] == [
        row["timestamp"] for row in found[:2]
    ]


def test_load_run(tmp_path: Path) -> None:
    """Times have as many digits as they need, numbers are floats."""
    run_dir = make_run(tmp_path, "r", started_at="2026-01-31T12:00:00.000000Z", tags=["a"])
    text = (run_dir / "run.yaml").read_text()
    (run_dir / "run.yaml").write_text(
        text.replace("scalars: {}", "scalars:\n  i: 3\n  b: true\n  nan: .nan\n  t: text")
    )

    found = expman.load_run(run_dir)

    assert "2026-01-31T12:00:00Z" == found["started_at"]
    assert {"i": 3.0, "b": True, "nan": None, "t": "text"} == found["scalars"]
    assert isinstance(found["scalars"]["i"], float)
    assert (["a"], None, None) == (found["tags"], found["finished_at"], found["rank"])


def test_load_runs(tmp_path: Path) -> None:
    """Filters are those of expman-rs; a run without run.yaml is CRASHED."""
    make_run(tmp_path, "old", started_at="2026-01-01T00:00:00Z", tags=["a"])
    make_run(tmp_path, "new", started_at="2026-01-01T00:00:00.5Z", tags=["b"])
    (tmp_path / "exp" / "experiment.yaml").write_text("project: p\n")

    assert ["new", "old"] == [run["run"] for run in expman.load_runs(tmp_path)]
    assert ["old"] == [run["run"] for run in expman.load_runs(tmp_path, tags="a OR c")]
    assert 2 == len(expman.load_runs(tmp_path, project="p", status="finished", tags=[]))
    assert [] == expman.load_runs(tmp_path, project="q")
    assert [] == expman.load_runs(tmp_path / "absent")
    with pytest.raises(ValueError, match="DONE"):
        expman.load_runs(tmp_path, status="DONE")
    (tmp_path / "exp" / "bare").mkdir()
    assert "CRASHED" == {run["run"]: run for run in expman.load_runs(tmp_path)}["bare"]["status"]


def test_load_config(tmp_path: Path) -> None:
    """Dates come as text, NaN as None; a run without parameters has none."""
    params: dict[str, object] = {"day": datetime.date(2026, 1, 1), "x": math.nan, "n": [{"a": 1}]}

    found = expman.load_config(make_run(tmp_path, "r", params=params))

    assert {"day": "2026-01-01", "x": None, "n": [{"a": 1}]} == found
    assert {} == expman.load_config(make_run(tmp_path, "bare"))


def test_frames(tmp_path: Path) -> None:
    """to_pandas=True gives the same as a DataFrame."""
    pytest.importorskip("pandas")
    run_dir = make_run(tmp_path, "r", block(0, {"a": [1.0]}))

    assert ["r"] == expman.load_runs(tmp_path, to_pandas=True)["run"].tolist()
    assert [1.0] == expman.read_metrics(run_dir, to_pandas=True)["a"].tolist()
