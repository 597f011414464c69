"""The recipes of docs/how-to/reading.md for other tools, over thousands of runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import StartProgram

from expman import ExperimentConfig, LoggingEngine

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "reading.md"
ROWS = 20
KINDS: dict[str, list[dict[str, Any]]] = {
    "float": [{"loss": 1 / (step + 1)} for step in range(ROWS)],
    "integer": [{"loss": step} for step in range(ROWS)],
    "both": [{"loss": 0.25 * step, "accuracy": step / ROWS} for step in range(ROWS)],
    "other": [{"accuracy": step / ROWS} for step in range(ROWS)],
}


def recipe(tool: str) -> str:
    """The code of the page for a tool, without its claims about the page's own runs."""
    found = re.search(rf"\*\*{tool}\*\*.*?```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return re.sub(r"^assert .*\n", "", found[1], flags=re.MULTILINE)


def log_runs(base_dir: Path, kinds: list[str], copies: int) -> None:
    """Logs a run of each kind, and makes copies of it."""
    for kind in kinds:
        with LoggingEngine(ExperimentConfig("many", base_dir, run_name=f"{kind}-0")) as engine:
            for step, row in enumerate(KINDS[kind]):
                engine.log_vector(row, step)
        for number in range(1, copies):
            copy = base_dir / "many" / f"{kind}-{number}"
            shutil.copytree(engine.run_dir, copy, copy_function=os.link)


def values(kind: str, metric: str) -> list[float]:
    return [row[metric] for row in KINDS[kind] if metric in row]


def expected_of_each(kinds: list[str], copies: int) -> dict[str, list[Any]]:
    """Rows, least loss and greatest accuracy of each run."""
    return {
        f"{kind}-{number}": [
            ROWS,
            min(values(kind, "loss"), default=None),
            max(values(kind, "accuracy"), default=None),
        ]
        for kind in kinds
        for number in range(copies)
    }


@pytest.fixture
def live_run(run_base: Path) -> Iterator[str]:
    """A run that goes on, with its rows in vectors.parquet by then."""
    with LoggingEngine(ExperimentConfig("live", run_base, run_name="live-0")) as engine:
        for step, row in enumerate(KINDS["both"]):
            engine.log_vector(row, step)
        yield "live-0"


@pytest.mark.timeout(600)
@pytest.mark.interop
@pytest.mark.parametrize("copies", [25, pytest.param(500, marks=pytest.mark.soak)])
def test_many_runs(
    program: StartProgram, run_base: Path, tmp_path: Path, live_run: str, copies: int
) -> None:
    """Runs with different metrics, of different types, finished and live, in one answer."""
    log_runs(run_base, list(KINDS), copies)
    quiet = "import duckdb, expman, json\nduckdb.sql('SET enable_progress_bar = false')\n"
    code = quiet + "".join(
        recipe(tool) + f"print(json.dumps({answer}))\n"
        for tool, answer in [
            ("DuckDB", "[{name: row for name, *row in found}, dict(counts)]"),
            ("polars", "[frame.height, frame['loss'].sum(), frame['accuracy'].count()]"),
            ("pandas", "frame.groupby('run')['loss'].count().to_dict()"),
            ("pyarrow datasets", "[dataset.count_rows(), losses.num_rows]"),
        ]
    )
    reading = program(["-W", "error", "-c", code], cwd=tmp_path)
    (found, counts), summed, by_run, counted = map(json.loads, reading.succeed(120).splitlines())

    all_runs = [*expected_of_each(list(KINDS), copies), live_run]
    kinds = [*KINDS] * copies + ["both"]
    lived = {live_run: expected_of_each(["both"], 1)["both-0"]}
    assert expected_of_each(list(KINDS), copies) | lived == found
    assert dict.fromkeys(all_runs, ROWS) == counts
    total_loss = sum(sum(values(kind, "loss")) for kind in kinds)
    with_accuracy = sum(len(values(kind, "accuracy")) for kind in kinds)
    assert [len(all_runs) * ROWS, pytest.approx(total_loss), with_accuracy] == summed
    losses = {name: ROWS for name in all_runs if not name.startswith("other")}
    assert losses | {f"other-{number}": 0 for number in range(copies)} == by_run
    small = sum(1 for kind in kinds for loss in values(kind, "loss") if loss < 0.5)
    assert [len(all_runs) * ROWS, small] == counted


@pytest.fixture
def cluster_env() -> Iterator[dict[str, str]]:
    """Spark and Ray on this machine alone, with their files in a place that is then removed."""
    # Ray makes sockets in it: their paths are limited to some hundred bytes.
    with tempfile.TemporaryDirectory(prefix="ray") as place:
        yield {
            "HOME": place,
            "TMPDIR": place,
            "RAY_TMPDIR": place,
            "RAY_USAGE_STATS_ENABLED": "0",
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": place,
            "PYSPARK_SUBMIT_ARGS": "--master local[1] --conf spark.ui.enabled=false pyspark-shell",
            "JDK_JAVA_OPTIONS": f"-XX:-UsePerfData -Djava.io.tmpdir={place}",
        }


@pytest.mark.clusters
@pytest.mark.timeout(600)
@pytest.mark.parametrize("tool", ["Spark", "Ray"])
def test_clusters(
    program: StartProgram,
    run_base: Path,
    tmp_path: Path,
    live_run: str,
    cluster_env: dict[str, str],
    tool: str,
) -> None:
    """Spark and Ray read some runs, and a live one, as the page says."""
    kinds, copies = ["float", "both", "other"], 20
    log_runs(run_base, kinds, copies)
    if tool == "Spark":
        code = recipe("Spark") + "answer = {row[0]: list(row[1:]) for row in found}\n"
    else:
        paths = recipe("polars").split("frame =")[0].replace("import polars as pl", "")
        schema = recipe("pyarrow datasets").split("dataset =")[0]
        setting = "import ray\nray.init(num_cpus=1, include_dashboard=False)\n"
        code = setting + paths + schema + recipe("Ray") + RAY_ANSWER
    code += "import json\nprint('ANSWER', json.dumps(answer))\n"
    reading = program(
        ["-P", "-c", code],
        cwd=tmp_path,
        env=cluster_env | {"PYTHONPATH": ""},
        python=os.environ["EXPMAN_CLUSTERS_PYTHON"],
    )
    printed = reading.succeed(timeout_s=500)
    (answer,) = re.findall(r"^ANSWER (.*)$", printed, re.MULTILINE)

    expected = expected_of_each(kinds, copies)
    expected[live_run] = expected["both-0"]
    assert expected == json.loads(answer)


RAY_ANSWER = """
import pandas
runs = frame.groupby([path.split("/")[-2] for path in frame["path"]])
found = runs.agg(rows=("step", "size"), loss=("loss", "min"), accuracy=("accuracy", "max"))
def plain(value):
    return None if pandas.isna(value) else float(value)
answer = {row.Index: [row.rows, plain(row.loss), plain(row.accuracy)] for row in found.itertuples()}
ray.shutdown()
"""
