"""`expman sql`: what it prints and writes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cli.conftest import Expman
from unit.reading.run_files import block, make_run

pytest.importorskip("duckdb")


@pytest.fixture
def base(run_base: Path) -> Path:
    """Three runs."""
    for number in range(3):
        rows = block(0, {"loss": [0.12341 + number / 1e6], "text": ["\x1b[2Jx"]})
        make_run(run_base, f"r{number}", rows, params={"lr": number})
    return run_base


def test_sql_prints_a_table(expman_command: Expman, base: Path) -> None:
    """Numbers that differ look different, and texts are harmless."""
    found = expman_command("sql", "SELECT run, loss, text FROM rows ORDER BY run", base_dir=base)

    lines = [line.split() for line in found.out.splitlines()]
    assert ["run", "loss", "text"] == lines[0]
    assert ["0.12341", "0.123411", "0.123412"] == [line[1] for line in lines[1:]]
    assert "\x1b" not in found.out


def test_all_columns_of_rows_say_who_logged_them(expman_command: Expman, run_base: Path) -> None:
    """`SELECT *` has `_producer` and `_seq` at its end, also where a run lacks a metric."""
    make_run(run_base, "a", block(0, {"loss": [1.0, 2.0]}))
    make_run(run_base, "b", block(0, {"other": [1.0]}, producer="rank1"))
    query = "SELECT *, _seq + 1 AS nth FROM rows ORDER BY run, _seq"
    found = json.loads(expman_command("sql", query, "--json", base_dir=run_base).out)
    names = ["experiment", "run", "step", "timestamp", "loss", "other", "_producer", "_seq", "nth"]
    assert sorted(names) == sorted(found[0])
    assert ["_producer", "_seq", "nth"] == list(found[0])[-3:]
    rows = [("main", 0, 1), ("main", 1, 2), ("rank1", 0, 1)]
    assert rows == [(row["_producer"], row["_seq"], row["nth"]) for row in found]


def test_sql_writes(expman_command: Expman, base: Path, tmp_path: Path) -> None:
    """CSV, JSON and files are exact."""
    query = ("sql", "SELECT run, loss FROM rows ORDER BY run", "--where", "lr >= 1")
    found = json.loads(expman_command(*query, "--json", base_dir=base).out)
    assert [("r1", 0.12341 + 1e-6), ("r2", 0.12341 + 2e-6)] == [tuple(o.values()) for o in found]
    assert (0, "x.parquet\n") == expman_command(*query, "-o", "x.parquet")[:2]
    assert ["r1", "r2"] == pq.read_table(tmp_path / "x.parquet")["run"].to_pylist()
    assert (0, "x.csv\n") == expman_command(*query, "-o", "x.csv")[:2]
    assert '"run","loss"' == (tmp_path / "x.csv").read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["SELECT los FROM rows"], "did you mean 'loss'?"),
        (["DROP TABLE rows"], "DROP changes something"),
        (["SELECT 1", "-e", "ex"], "no experiment 'ex' in"),
        (["SELECT 1", "-o", "x.txt"], "--output must end with"),
        (["SELECT 1", "--where", "lrr = 1"], "did you mean 'lr'?"),
    ],
)
def test_mistakes_of_sql(
    expman_command: Expman, base: Path, arguments: list[str], message: str
) -> None:
    """Each one has a line that names it."""
    result = expman_command("sql", *arguments, base_dir=base)
    assert result.code in (1, 2)
    assert message in result.err
    assert "" == result.out


def test_a_wide_result_fits(
    expman_command: Expman, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the table has no room, each line becomes a paragraph."""
    from expman.cli.output import console

    monkeypatch.setenv("COLUMNS", "40")
    console.cache_clear()
    try:
        query = "SELECT run, status, started_at, path FROM runs"
        out = expman_command("sql", query, base_dir=base).out
    finally:
        console.cache_clear()
    assert max(map(len, out.splitlines())) <= 40
    assert 3 == out.count("status FINISHED")
