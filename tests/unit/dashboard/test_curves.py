"""Curves: no spike and no NaN is lost, and nothing is fetched twice."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_client import Serve

import expman
from expman.reading.cursor import decode_cursor, encode_cursor
from expman.reading.decimate import choose
from expman.reading.row_source import FileRows
from expman.reading.series import SeriesRequest, make_series


@pytest.mark.parametrize("rows", [1, 7, 400, 4001, 200_000])
def test_a_spike_stays(rows: int) -> None:
    """The greatest, the least, the first and the last value are among the points."""
    y = np.sin(np.arange(rows) / 50)
    y[rows // 3], y[2 * rows // 3] = 1000, -1000

    places = choose(np.arange(rows, dtype=float), y, 400).places

    assert len(places) <= 400
    assert {0, rows - 1, int(y.argmax()), int(y.argmin())} <= set(places.tolist())
    assert np.all(np.diff(places) > 0)


def test_values_that_are_not_finite_stay() -> None:
    """Each stretch of them keeps both ends, and they hide no extreme."""
    y = np.ones(100_000)
    y[[10, 50_000, 50_001, 50_002]] = np.nan
    y[[77, 99_999]] = np.inf
    y[60_000] = 7

    chosen = choose(np.arange(100_000, dtype=float), y, 200)

    assert {10, 50_000, 50_002, 77, 99_999, 60_000} <= set(chosen.places.tolist())
    assert 6 == chosen.nonfinite


def test_very_many_that_are_not_finite_are_bounded() -> None:
    """A run of NaN and numbers in turn has a bounded answer, with their count."""
    y = np.ones(100_000)
    y[::2] = np.nan

    chosen = choose(np.arange(100_000, dtype=float), y, 200)

    assert len(chosen.places) <= 400
    assert 50_000 == chosen.nonfinite


def test_a_gap_in_x_takes_no_points() -> None:
    """Buckets are equally wide: the points go where the rows are, and all ends stay."""
    x = np.concatenate([np.arange(1000.0), 1e9 + np.arange(1000.0)])

    places = choose(x, np.arange(2000.0), 100).places

    assert {0, 999, 1000, 1999} <= set(places.tolist())


@pytest.fixture
def run(tmp_path: Path, standing_writer: None) -> Path:
    """A run of two producers, with all kinds of values."""
    config = expman.ExperimentConfig("exp", tmp_path, run_name="r")
    with expman.LoggingEngine(config) as engine:
        for step in range(100):
            values: dict[str, Any] = {"loss": 1 / (step + 1), "n": step, "ok": step % 2 == 0}
            if step % 10 == 0:
                values["val"] = float(step)
            if step == 50:
                values["loss"] = math.nan
            engine.log_vector(values | {"word": "x"}, step)
        return Path(engine.run_dir)


def series(run: Path, *metrics: str, **options: Any) -> dict[str, tuple[list[float], list[float]]]:
    """The points of each metric."""
    rows = FileRows(str(run))
    try:
        table = make_series(rows, SeriesRequest(list(metrics), **options)).table()
    finally:
        rows.close()
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in metrics}
    for row in table.to_pylist():
        found[row["metric"]][0].append(row["x"])
        found[row["metric"]][1].append(row["y"])
    return found


def test_each_kind_of_number_is_a_curve(run: Path) -> None:
    """Rows without a value have no point; text is not drawn; an unknown metric has no points."""
    found = series(run, "val", "ok", "n", "word", "nothing")

    assert ([0.0, 10.0, 20.0], [0.0, 10.0, 20.0]) == (found["val"][0][:3], found["val"][1][:3])
    assert [1.0, 0.0] == found["ok"][1][:2]
    assert 100 == len(found["n"][0])
    assert ([], []) == found["word"] == found["nothing"]


def test_a_range_has_its_neighbours(run: Path) -> None:
    """The line goes to the edge of the picture."""
    assert [9.0, 10.0, 11.0, 12.0, 13.0] == series(run, "n", low=10, high=12)["n"][0]


@pytest.mark.parametrize("x", ["time", "relative", "n"])
def test_any_x(run: Path, x: str) -> None:
    """Time, time since the start, or another metric."""
    found = series(run, "loss", x=x)["loss"][0]

    assert 100 == len(found)
    assert sorted(found) == found
    if x == "relative":
        assert 0.0 == found[0]


def test_rows_without_steps_are_counted(tmp_path: Path, standing_writer: None) -> None:
    """A producer that gives no steps has the numbers of its rows."""
    config = expman.ExperimentConfig("exp", tmp_path, run_name="r")
    with expman.LoggingEngine(config) as engine:
        for number in range(3):
            engine.log_vector({"loss": float(number)})
        run = Path(engine.run_dir)

    assert ([0.0, 1.0, 2.0], [0.0, 1.0, 2.0]) == series(run, "loss")["loss"]


def test_a_cursor_has_what_came_after(run: Path, serve: Serve) -> None:
    """The answer's cursor asks for the rest, which is nothing while nothing comes."""
    browser = serve(run.parent.parent)
    first = browser.ask("/api/curves?run=exp/r&metrics=loss,n")
    cursor = first.headers["x-expman-cursor"]

    rest = browser.ask(f"/api/curves?run=exp/r&metrics=loss,n&after={cursor}")
    half = browser.ask(f"/api/curves?run=exp/r&metrics=loss,n&after={encode_cursor({'main': 90})}")

    assert {"main": 100} == decode_cursor(cursor)
    assert (200, "0", "1") == (
        first.table.num_rows,
        first.headers["x-expman-decimated"],
        first.headers["x-expman-nonfinite"],
    )
    assert (0, cursor) == (rest.table.num_rows, rest.headers["x-expman-cursor"])
    assert list(range(90, 100)) == half.table["x"].to_pylist()[:10]


def test_the_picture_is_small(run: Path, serve: Serve) -> None:
    """About as many points as were asked for, NaN kept."""
    table = serve(run.parent.parent).ask("/api/curves?run=exp/r&metrics=loss&points=20").table

    assert table.num_rows < 30
    assert any(map(math.isnan, table["y"].to_pylist()))
    assert ["metric", "producer", "x", "y"] == table.column_names


@pytest.mark.parametrize(
    "query",
    ["x=nothing", "by=x", "points=x", "from=a", "after=!!!", "after=W10", "x=word"],
)
def test_a_mistake_is_a_sentence(run: Path, serve: Serve, query: str) -> None:
    """And not a failure."""
    answer = serve(run.parent.parent).ask(f"/api/curves?run=exp/r&metrics=loss&{query}")

    assert (400, ["error"]) == (answer.status, list(answer.json))


@pytest.mark.parametrize("query", ["from=nan", "from=inf&to=-inf", "points=0", "from=1e999"])
def test_odd_numbers(run: Path, serve: Serve, query: str) -> None:
    """Bounds that are not numbers bound nothing."""
    answer = serve(run.parent.parent).ask(f"/api/curves?run=exp/r&metrics=loss&{query}")

    assert 200 == answer.status


def test_attempts_are_shown(tmp_path: Path, serve: Serve, own_writer: None) -> None:
    """A run that went on has a column for the attempt of each point, and their count in its row."""
    for first in (0, 5):
        config = expman.ExperimentConfig("exp", tmp_path, run_name="r", resume="allow")
        with expman.LoggingEngine(config) as engine:
            for step in range(first, first + 5):
                engine.log_vector({"loss": float(step)}, step)
    browser = serve(tmp_path)

    table = browser.ask("/api/curves?run=exp/r&metric=loss").table

    assert [1] * 5 + [2] * 5 == table["attempt"].to_pylist()
    assert [float(step) for step in range(10)] == table["y"].to_pylist()
    assert 2 == browser.ask("/api/runs").json["runs"][0]["attempts"]
