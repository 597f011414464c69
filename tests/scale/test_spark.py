"""The job for Spark in docs/how-to/many-runs.md finds what is found without it."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import StartProgram
from scale.some_runs import REPOSITORY, cataloged, make_runs, parts

import expman
from expman import catalog

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(600)]
PAGE = REPOSITORY / "docs" / "how-to" / "many-runs.md"


@pytest.fixture
def spark_env() -> Iterator[dict[str, str]]:
    """Spark on this machine alone, with its files in a place that is then removed."""
    with tempfile.TemporaryDirectory(prefix="spark") as place:
        yield {
            "HOME": place,
            "TMPDIR": place,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": place,
            "PYSPARK_SUBMIT_ARGS": "--master local[2] --conf spark.ui.enabled=false pyspark-shell",
            "JDK_JAVA_OPTIONS": f"-XX:-UsePerfData -Djava.io.tmpdir={place}",
            "PYTHONPATH": str(REPOSITORY),
            "PYSPARK_PYTHON": os.environ["EXPMAN_CLUSTERS_PYTHON"],
        }


def test_the_job_for_spark(
    program: StartProgram, run_base: Path, tmp_path: Path, spark_env: dict[str, str]
) -> None:
    """The catalog, a query over all runs, and rows of runs of different columns."""
    make_runs(run_base)
    found = re.search(r"\*\*Spark\*\*.*?```\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    (tmp_path / "recipe").write_text(found[1])
    program(
        "scale/on_spark.py",
        *(tmp_path / "recipe", tmp_path / "answer"),
        cwd=tmp_path,
        env=spark_env,
        python=os.environ["EXPMAN_CLUSTERS_PYTHON"],
    ).succeed(500)
    counts, least, columns, rows, nothing = json.loads((tmp_path / "answer").read_text())
    assert [40, 1, 35, 1] == counts
    assert 0 == nothing
    expected = expman.vectors(expman.runs(run_base))
    assert expected.column_names == columns
    by_run = sorted(expected.drop_columns(["timestamp"]).to_pylist(), key=str)
    assert by_run == sorted(rows, key=str)
    losses = [row for row in by_run if row["loss"] is not None]
    runs = {row["run"] for row in by_run}
    assert {
        run: min((row["loss"] for row in losses if row["run"] == run), default=None) for run in runs
    } == least

    on_spark, compacted = cataloged(run_base), parts(run_base)
    for path in (run_base / ".catalog").iterdir():
        path.unlink()
    catalog.build(run_base)
    assert cataloged(run_base).equals(on_spark)
    assert parts(run_base) == compacted
