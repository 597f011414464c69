"""A query over rows of a catalog gives what it gives without: streamed, again and again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from unit.reading.run_files import block, make_run

import expman
from expman import catalog
from expman.catalog import compaction
from expman.models import RunStatus
from expman.reading import query_tables
from expman.reading.row_stream import RowStream

pytest.importorskip("duckdb")

QUERIES = (
    "SELECT count(*) AS n FROM rows",
    "SELECT * FROM rows",
    "SELECT *, _producer AS who FROM rows WHERE _seq = 1",
    "SELECT experiment, run, loss FROM rows WHERE loss > 1",
    "SELECT run, min(loss) AS least, count(*) AS n FROM rows GROUP BY run",
    "SELECT a.run, count(*) AS n FROM rows a JOIN rows b USING (run, step) GROUP BY 1",
    "WITH t AS (SELECT * FROM rows) SELECT (SELECT count(*) FROM t) a, (SELECT max(loss) FROM t) b",
    "SELECT experiment, count(note) AS n, max(odd__text) AS o, sum(odd) AS s FROM rows GROUP BY 1",
    "SELECT r.run, lr.number, max(loss) AS m FROM rows r JOIN params lr USING (run) GROUP BY 1, 2",
    "SELECT _seq, _producer, run FROM rows WHERE run = 'a03'",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of several kinds, most of them in parts; a live one, one that changed, a damaged one."""
    base = tmp_path_factory.mktemp("base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "LEAST_RUNS", 2)
        for number in range(12):
            values = {"loss": [number / 2, 0.25], "odd": [1.0, 2.0], "experiment": [1.0, 2.0]}
            make_run(base, f"a{number:02d}", block(0, values), params={"lr": number})
        for number in range(4):
            rows = {"note": ["x", "y"], "odd": ["1", "2"], "LOSS_": [1.0, 2.0], "loss_": [1.0, 2.0]}
            make_run(base, f"b{number}", block(0, rows), experiment="other")
        catalog.build(base)
    make_run(base, "live", block(0, {"loss": [9.0]}), status=RunStatus.RUNNING)
    make_run(base, "a05", tags=["changed"])
    (make_run(base, "bad") / "vectors.parquet").write_bytes(b"PAR1")
    return base


def plain(base: Path, sql: str) -> list[str]:
    """The answer without streams, in an order."""
    return sorted(map(repr, expman.runs(base).sql(sql).to_pylist()))


@pytest.mark.parametrize("sql", QUERIES)
def test_the_answer_is_the_same(base: Path, sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked for, also where the rows are needed twice."""
    expected = plain(base, sql)
    made: list[RowStream] = []
    monkeypatch.setattr(query_tables, "_MANY", 1)
    original = RowStream.__init__

    def note(self: RowStream, *arguments: object) -> None:
        original(self, *arguments)  # type: ignore[arg-type]
        made.append(self)

    monkeypatch.setattr(RowStream, "__init__", note)
    assert expected == plain(base, sql)
    assert (made and made[0].is_worth_it) or "run = 'a03'" in sql


def test_runs_without_a_column_that_is_wanted(base: Path) -> None:
    """Their rows are left out, with a catalog as without."""
    runs = [run for run in expman.runs(base) if run.name != "bad"]
    plain_runs = [expman.Run(run.path) for run in runs]
    assert expman.vectors(plain_runs, ["loss"]).equals(expman.vectors(runs, ["loss"]))


def test_a_part_that_goes_meanwhile(base: Path) -> None:
    """A newer catalog may have replaced it: the runs' own files are read."""
    runs = expman.runs(base)
    stream = RowStream(runs, ["loss"], ["run"])
    expected = stream.reader().read_all()
    parts = list((base / ".catalog").glob("rows-*"))
    for part in parts:
        os.rename(part, part.with_suffix(".away"))
    try:
        found = stream.reader().read_all()
    finally:
        for part in parts:
            os.rename(part.with_suffix(".away"), part)
    assert expected.to_pylist() == found.to_pylist()
