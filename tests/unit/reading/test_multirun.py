"""expman.vectors: rows of many runs whose columns differ."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from unit.reading.run_files import block, make_run

import expman
from expman.errors import ConfigError


def test_runs_with_different_metrics(tmp_path: Path) -> None:
    """Each row says whose it is; a metric that its run does not have is null."""
    one = make_run(tmp_path, "one", block(0, {"loss": [1.0, 2.0]}))
    two = make_run(tmp_path, "two", block(0, {"acc": [3]}), experiment="other")

    table = expman.vectors([one, expman.Run(two)])

    assert ["experiment", "run", "step", "timestamp", "loss", "acc"] == table.column_names
    assert ["exp", "exp", "other"] == table["experiment"].to_pylist()
    assert ["one", "one", "two"] == table["run"].to_pylist()
    assert [1.0, 2.0, None] == table["loss"].to_pylist()
    assert [None, None, 3] == table["acc"].to_pylist()


def test_types_of_one_metric(tmp_path: Path) -> None:
    """Numbers become as wide as the widest run needs; text gets a column of its own."""
    runs = [
        make_run(tmp_path, "a", block(0, {"x": [1], "t": ["u"]})),
        make_run(tmp_path, "b", block(0, {"x": [0.5], "t": ["v"]})),
        make_run(tmp_path, "c", block(0, {"x": ["text"]})),
        make_run(tmp_path, "d", block(0, {"x": ["first"]}), block(1, {"x": [True]})),
    ]

    table = expman.vectors(runs, ["x", "t"], run_columns=())

    assert ["x", "x__text", "t"] == table.column_names
    assert [1.0, 0.5, None, None, 1.0] == table["x"].to_pylist()
    assert [None, None, "text", "first", None] == table["x__text"].to_pylist()
    assert ["u", "v", None, None, None] == table["t"].to_pylist()


def test_parameters_as_columns(tmp_path: Path) -> None:
    """A parameter can stand beside the rows: a number if it is one in all runs."""
    runs = [
        make_run(tmp_path, "a", block(0, {"x": [1.0]}), params={"lr": 1, "model": {"kind": "s"}}),
        make_run(tmp_path, "b", block(0, {"x": [1.0]}), params={"lr": 0.5}),
    ]

    table = expman.vectors(runs, run_columns={"params.lr": "lr", "params.model.kind": "kind"})

    assert ["lr", "kind", "step", "timestamp", "x"] == table.column_names
    assert [1.0, 0.5] == table["lr"].to_pylist()
    assert ["s", None] == table["kind"].to_pylist()


def test_a_metric_called_run(tmp_path: Path) -> None:
    """A run column never hides a metric: the caller is asked for another name."""
    run = make_run(tmp_path, "a", block(0, {"run": [1.0]}))

    with pytest.raises(ConfigError, match="mapping"):
        expman.vectors([run])
    table = expman.vectors([run], run_columns={"run": "run_name"})
    assert ["run_name", "step", "timestamp", "run"] == table.column_names


def test_a_column_that_no_run_has(tmp_path: Path) -> None:
    """A metric that is in none of the runs is a mistake and not a column of nulls."""
    runs = [make_run(tmp_path, name, block(0, {"loss": [1.0]})) for name in ("a", "b")]

    with pytest.raises(ConfigError) as raised:
        expman.vectors(runs, ["acc"])
    assert "none of 2 runs has a column 'acc'; metrics: loss" == raised.value.rule
    with pytest.raises(ConfigError) as raised:
        expman.vectors(runs[:1], ["lss"])
    assert "the run has no column 'lss'; did you mean 'loss'? Metrics: loss" == raised.value.rule


def test_no_runs() -> None:
    """No runs make an empty table."""
    assert 0 == expman.vectors([]).num_rows
    assert pa.types.is_string(expman.vectors([], ["x"]).schema.field("run").type.value_type)


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    """Rows, tables and queries have them with escapes."""
    for name in "ab":
        make_run(tmp_path, name, block(0, {"loss": [1.0]}), params={"lr": 1})
    os.rename(tmp_path / "exp" / "b", tmp_path / "exp" / os.fsdecode(b"b\xff"))
    runs = expman.runs(tmp_path)
    assert {"a", "b\\udcff"} == set(expman.vectors(runs)["run"].to_pylist())
    assert {"a", "b\\udcff"} == set(runs.table(["run"])["run"].to_pylist())
