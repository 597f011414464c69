"""CSV and JSONL: steps, times, metrics; what is damaged."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
from unit.importers.conftest import Import, damaged_files, import_anything

import expman
from expman.importers.lines import read_time

CSV = """\ufeffstep,timestamp,loss,name,flag,big,odd
0,2026-01-31T12:00:00Z,0.5,"a, ""b""\nc",true,12345678901234567890,nan
1,1769860801.5,1e-3,,False,7,-inf
"""


def test_csv(importing: Import, tmp_path: Path) -> None:
    """Numbers, bools and texts; quoted cells; empty ones; times of several kinds."""
    path = tmp_path / "first.csv"
    path.write_text(CSV)
    (made,) = importing(path).values()
    one, two = expman.Run(made.run_dir).vectors().to_pylist()
    assert ("first", 0, 1) == (Path(made.run_dir).name, one["step"], two["step"])
    assert (0.5, 'a, "b"\nc', True, 1.2345678901234567e19) == tuple(
        one[name] for name in ("loss", "name", "flag", "big")
    )
    assert (0.001, None, False, -math.inf) == tuple(
        two[name] for name in ("loss", "name", "flag", "odd")
    )
    assert (1769860800.0, 1769860801.5) == (
        one["timestamp"].timestamp(),
        two["timestamp"].timestamp(),
    )


def test_jsonl(importing: Import, tmp_path: Path) -> None:
    """Nested objects are flattened; lists and damaged lines are counted; a row has a time."""
    path = tmp_path / "log.jsonl"
    deep = '{"a": ' * 900 + "1" + "}" * 900
    lines = [deep, '{"global_step": 3, "a": {"b": 1, "c": {"d": NaN}}, "list": [1]}', "{", "[]", ""]
    path.write_text("\n".join([*lines, '{"epoch": 2.0, "x": null, "y": "z"}', '{"x": 1']))
    (made,) = importing(path).values()
    one, two = expman.Run(made.run_dir).vectors().to_pylist()
    assert (3, 1) == (one["step"], one["a/b"])
    assert math.isnan(one["a/c/d"])
    assert (2, 2.0, "z") == (two["step"], two["epoch"], two["y"])
    assert abs(two["timestamp"].timestamp() - path.stat().st_mtime) < 0.001
    assert made.report is not None
    assert {"damaged lines": 4, "list in a row": 1} == made.report.left_out


def test_there_and_back(importing: Import, tmp_path: Path) -> None:
    """What `expman export` writes comes back as it was."""
    from expman.reading.export import write_table

    with expman.LoggingEngine(expman.ExperimentConfig("a", tmp_path / "x")) as engine:
        for step in range(3):
            engine.log_vector({"loss": 1 / (step + 1), "n": step, "t": f"ü{step}"}, step)
    before = expman.Run(engine.run_dir).vectors()
    for kind in ("csv", "json"):
        with open(tmp_path / f"rows.{kind}l".replace("csvl", "csv"), "wb") as file:
            write_table(before, kind, file)
        (made,) = importing(Path(file.name)).values()
        after = expman.Run(made.run_dir).vectors()
        assert before.to_pylist() == after.select(before.column_names).to_pylist()


def test_lightning(importing: Import, tmp_path: Path) -> None:
    """A folder of Lightning's CSVLogger: its name, its parameters; only if it is meant."""
    folder = tmp_path / "lightning_logs" / "version_0"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("epoch,step,train_loss\n0,49,0.5\n")
    (folder / "hparams.yaml").write_text("lr: 0.1\n")
    assert {} == importing(tmp_path / "lightning_logs")
    (made,) = importing(tmp_path / "lightning_logs", "csv").values()
    run = expman.Run(made.run_dir)
    assert ("version_0", {"lr": 0.1}) == (run.name, run.config)
    assert [49] == run.vectors()["step"].to_pylist()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-31T12:00:00.25+01:00", 1769857200_250_000_000),
        ("2026-01-31 12:00", 1769860800 * 10**9),
        (1769860800, 1769860800 * 10**9),
        (1769860800123, 1769860800_123 * 10**6),
        (1769860800_123456789, 1769860800_123456789),
        (12.5, None),
        ("yesterday", None),
        (float("nan"), None),
        (True, None),
    ],
)
def test_times(value: object, expected: int | None) -> None:
    """ISO 8601, and numbers since the epoch in any usual unit."""
    assert expected == read_time(value)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_damaged_files(importing: Import, tmp_path: Path, kind: str) -> None:
    """Whatever is in the file, the import ends, with whole runs."""
    generator = random.Random(1)
    rows = [{"step": n, "loss": generator.random(), "t": 'a,\n"b'} for n in range(20)]
    text = "\n".join(map(json.dumps, rows)) if kind == "jsonl" else CSV
    path = tmp_path / f"x.{kind}"
    for data in damaged_files(text.encode(), 1, 40):
        path.write_bytes(data)
        import_anything(importing, path, kind)
