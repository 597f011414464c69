"""SQL over runs: the tables, what is read for them, and what a query cannot do."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from unit.reading.run_files import block, make_run

import expman
from expman.errors import ConfigError
from expman.metadata import MetricBest
from expman.models import RunStatus
from expman.reading.find import RunList
from expman.reading.query_runs import chosen_by
from expman.reading.query_tables import Wanted

pytest.importorskip("duckdb")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> expman.RunList:
    """Two runs with rows, a live one without, and one whose rows cannot be read."""
    base = tmp_path_factory.mktemp("query")
    for number, name in enumerate("ab"):
        make_run(
            base,
            name,
            block(0, {"loss": [3.0, 2.0, math.nan], "Loss": [1, 2, 3], "train/acc": [1, 2, 3]}),
            params={"lr": 10.0**-number, "model": {"layers": number}, "big": 1 << 2000},
            best={"loss": MetricBest(min=2.0, min_step=10, last=math.nan)},
            scalars={"score": number},
            tags=["t"],
        )
    make_run(base, "empty", status=RunStatus.RUNNING, started_at="2026-02-01T00:00:00Z")
    make_run(base, "bad", block(0, {"loss": [1.0]}), started_at="2026-01-01T00:00:00Z")
    (base / "exp" / "bad" / "vectors.parquet").write_bytes(b"no parquet")
    return expman.runs(base)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT run, count(*) FROM rows GROUP BY run ORDER BY run", [("a", 3), ("b", 3)]),
        ("SELECT count(*) FROM rows", [(6,)]),
        ("SELECT min(loss) FROM rows WHERE run = 'a'", [(2.0,)]),
        ('SELECT sum("Loss") FROM rows', [(12,)]),
        ("SELECT sum(loss__case1), sum(Loss__case2) FROM rows WHERE step < 20", [(10.0, 6)]),
        ('SELECT r."train/acc" FROM rows r WHERE step = 20', [(3,), (3,)]),
        ("SELECT count(DISTINCT _seq) FROM rows", [(3,)]),
        (
            'SELECT run, "params.lr" FROM runs WHERE "loss:min" = 2 ORDER BY 2',
            [("b", 0.1), ("a", 1.0)],
        ),
        (
            "SELECT status, count(*) FROM runs GROUP BY 1 ORDER BY 1",
            [("FINISHED", 3), ("RUNNING", 1)],
        ),
        ("SELECT run FROM runs WHERE list_contains(tags, 't') ORDER BY 1", [("a",), ("b",)]),
        ("SELECT metric, min, min_step FROM metrics WHERE run = 'a'", [("loss", 2.0, 10)]),
        (
            "SELECT run, number FROM params WHERE name = 'model.layers' ORDER BY 1",
            [("a", 0.0), ("b", 1.0)],
        ),
        ("SELECT number IS NULL FROM params WHERE name = 'big' AND run = 'a'", [(True,)]),
        ("SELECT value FROM scalars ORDER BY run", [("0",), ("1",)]),
        ("SELECT count(*) FROM system", [(0,)]),
        ("SELECT count(*) FROM media", [(0,)]),
        (
            "SELECT number, avg(loss) FROM rows JOIN params USING (run) "
            "WHERE name = 'lr' AND step < 20 GROUP BY 1 ORDER BY 1",
            [(0.1, 2.5), (1.0, 2.5)],
        ),
        ("WITH x AS (SELECT loss FROM rows WHERE run = 'a') SELECT count(loss) FROM x", [(3,)]),
    ],
)
def test_queries(runs: expman.RunList, sql: str, expected: list[tuple[object, ...]]) -> None:
    """Each table has what the runs have; rows that cannot be read cost no others."""
    assert expected == [tuple(line.values()) for line in runs.sql(sql).to_pylist()]


def test_a_star_has_all_columns(runs: expman.RunList) -> None:
    """Columns that SQL does not distinguish have names of their own there."""
    names = runs.sql("FROM rows").column_names
    assert ["loss__case1", "Loss__case2", "train/acc", "_producer", "_seq"] == names[4:]
    assert {"params.model.layers", "scalars.score", "loss:min", "tags"} <= set(
        runs.sql("SELECT * FROM runs").column_names
    )
    assert 5 < runs.sql("DESCRIBE rows").num_rows
    assert ["run", "big", "lr", "model.layers"] == sorted(
        runs.sql("PIVOT params ON name USING first(number) GROUP BY run").column_names,
        key=lambda name: (name != "run", name),
    )


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT los FROM rows", "did you mean 'loss'"),
        ('SELECT "params.lrr" FROM runs', "did you mean 'params.lr'"),
        ("SELECT params.lr FROM runs", 'need quotes: "params.lr"'),
        ("SELECT * FROM row", "Tables: runs, rows, metrics"),
        ("SELECT * FROM vectors", "vectors does not exist!\nTables: runs, rows, metrics"),
        ("SELCT 1", "syntax error"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("CREATE TABLE x AS SELECT 1", "CREATE changes something"),
        ("COPY (SELECT 1) TO 'x.csv'", "COPY changes something"),
        ("ATTACH 'x.db'", "ATTACH changes something"),
        ("SET enable_external_access = true", "SET changes something"),
        ("SELECT * FROM read_csv('/etc/passwd')", "Permission Error"),
        ("SELECT * FROM '/etc/passwd'", "does not exist"),
        ("SELECT * FROM glob('/*')", "Permission Error"),
        ("SELECT content FROM read_text('/etc/hostname')", "Permission Error"),
        ("", "0 statements"),
    ],
)
def test_what_a_query_cannot_do(runs: expman.RunList, sql: str, message: str) -> None:
    """It reads the tables and nothing else; mistakes are explained."""
    with pytest.raises(ConfigError) as caught:
        runs.sql(sql)
    assert message in caught.value.rule


def test_no_variable_of_python_is_a_table(runs: expman.RunList) -> None:
    """Names of tables are looked up nowhere else."""
    secret = runs.table(["run"])
    with pytest.raises(ConfigError, match="secret does not exist"):
        runs.sql("SELECT * FROM secret")
    assert 4 == secret.num_rows


def test_only_what_is_named_is_wanted() -> None:
    """Tables and columns that a query does not name are not read."""
    wanted = Wanted("SELECT loss FROM rows", frozenset({"loss"}))
    assert [True, False] == [wanted.table("rows"), wanted.table("runs")]
    assert ["Loss"] == wanted.among(["Loss", "acc"])
    assert ["Loss", "acc"] == Wanted("FROM rows", None).among(["Loss", "acc"])


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        ("SELECT loss FROM rows WHERE run = 'a'", "a"),
        ("SELECT loss FROM rows r WHERE step > 1 AND r.run IN ('a', 'c') AND loss > 1", "ac"),
        ("SELECT loss FROM rows WHERE 'b' = run AND experiment = 'exp'", "b"),
        ("SELECT loss FROM rows WHERE experiment = 'other'", ""),
        ("SELECT loss FROM rows WHERE run = 'a' OR step = 1", "abc"),
        ("SELECT loss FROM rows WHERE run <> 'a'", "abc"),
        ("SELECT loss FROM rows WHERE NOT run = 'a'", "abc"),
        ("SELECT loss FROM rows WHERE run = lower('A')", "abc"),
        ("SELECT 1 FROM rows x JOIN rows y USING (step) WHERE x.run = 'a'", "abc"),
        ("SELECT loss FROM rows WHERE run = 'a' UNION ALL SELECT loss FROM rows", "abc"),
        ("WITH x AS (SELECT * FROM rows WHERE run = 'a') SELECT loss FROM x", "a"),
    ],
)
def test_only_runs_that_where_names_are_read(tmp_path: Path, sql: str, read: str) -> None:
    """Conditions that must hold choose runs; in doubt all are read, and the result is the same."""
    import duckdb

    for name in "abc":
        make_run(tmp_path, name, block(0, {"loss": [1.0, 2.0]}))
    found = expman.runs(tmp_path)
    connection = duckdb.connect()
    ((text,),) = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    connection.close()

    chosen = chosen_by(json.loads(text), "rows", found)
    assert read == "".join(sorted(run.name for run in chosen))
    kept = [run for run in found if run in chosen]
    assert not chosen or RunList(kept).sql(sql).num_rows == found.sql(sql).num_rows
    assert 0 == found.sql("SELECT loss FROM rows WHERE run = 'z'").num_rows


def test_live_rows_are_included(tmp_path: Path, standing_writer: None) -> None:
    """Rows of a live run are there as soon as they are flushed."""
    config = expman.ExperimentConfig("e", tmp_path, run_name="r")
    with expman.LoggingEngine(config) as engine:
        engine.log_vector({"loss": 1.0}, 0)
        engine.flush()
        assert [{"loss": 1.0}] == expman.runs(tmp_path).sql("SELECT loss FROM rows").to_pylist()
        engine.log_vector({"loss": 2.0}, 1)
        engine.flush()
        assert 2 == expman.runs(tmp_path).sql("FROM rows").num_rows


def test_rows_of_a_first_run_without_rows(runs: expman.RunList) -> None:
    """`expman.vectors` takes runs without rows at any place."""
    chosen = [run for run in runs if run.name != "bad"]
    assert ["empty", "b", "a"] == [run.name for run in chosen]
    assert 6 == expman.vectors(chosen, ["loss"]).num_rows
