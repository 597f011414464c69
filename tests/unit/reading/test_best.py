"""The best numbers of metrics: of a run, in tables of runs, as an order of runs."""

from __future__ import annotations

import datetime
import math
from pathlib import Path

import pytest
from unit.reading.run_files import block, make_run

import expman
from expman.errors import ConfigError
from expman.metadata import MetricBest
from expman.models import RunStatus
from expman.storage.vectors import VectorStore
from expman.storage.yamlfile import RunFile

NAN = math.nan


def with_best(run_dir: Path, best: dict[str, MetricBest]) -> expman.Run:
    """The run, whose run.yaml says that these are the best numbers."""
    file = RunFile(str(run_dir))
    meta = file.read()
    meta.best = best
    file.write(meta)
    return expman.Run(run_dir)


def test_run_yaml_says_it(tmp_path: Path) -> None:
    """What the writer stored is given as it is; no row is read."""
    run_dir = make_run(tmp_path, "r")
    run = with_best(run_dir, {"loss": MetricBest(0.25, 7, 9.5, 0, 0.5, 9)})

    assert (0.25, 7) == run.best("loss", "min")
    assert (9.5, 0) == run.best("loss", "max")
    assert (0.5, 9) == run.best("loss", "last")
    assert 0.25 == run.best("loss", "min").value
    assert 7 == run.best("loss", "min").step


@pytest.mark.parametrize(
    ("values", "least", "greatest", "last"),
    [
        ([3.0, 1.0, 1.0, 2.0], (1.0, 10), (3.0, 0), (2.0, 30)),
        ([NAN, 2.0, NAN, 1.0], (1.0, 30), (2.0, 10), (1.0, 30)),
        ([5, -5, 2**60, 0], (-5, 10), (2**60, 20), (0, 30)),
        ([math.inf, 0.0, -math.inf, 1.0], (-math.inf, 20), (math.inf, 0), (1.0, 30)),
        ([1.0, 2.0, None, None], (1.0, 0), (2.0, 10), (2.0, 10)),
    ],
    ids=str,
)
def test_rows_say_it_in_older_runs(
    tmp_path: Path,
    values: list[float | None],
    least: tuple[float, int],
    greatest: tuple[float, int],
    last: tuple[float, int],
) -> None:
    """Without `best` in run.yaml the rows are read; NaN never wins, of equals the first does."""
    run = expman.Run(make_run(tmp_path, "r", block(0, {"x": values, "t": ["a"] * len(values)})))
    assert {} == run.metadata.best

    assert least == run.best("x", "min")
    assert greatest == run.best("x", "max")
    assert last == run.best("x", "last")


def test_the_live_tail_counts(tmp_path: Path) -> None:
    """Rows that are only in the tail of a live run are read, too."""
    run_dir = make_run(tmp_path, "r", block(0, {"x": [5.0]}), status=RunStatus.RUNNING)
    store = VectorStore(str(run_dir))
    store.append(block(1, {"x": [1.0, 9.0]}))
    store.flush()

    run = expman.Run(run_dir)

    assert (1.0, 9.0) == (run.best("x", "min").value, run.best("x", "max").value)
    store.close()


def test_what_has_no_best_number(tmp_path: Path) -> None:
    """Unknown metrics, text, nothing but NaN and unknown kinds raise, each with a message."""
    rows = {"loss": [1.0], "text": ["a"], "nan": [NAN]}
    run = expman.Run(make_run(tmp_path, "r", block(0, rows)))

    for metric, kind, message in (
        ("lss", "min", r"metric='lss': run .* has no metric 'lss'; did you mean 'loss'\?"),
        ("text", "min", "metric='text': run .* has no number of it, or only NaN"),
        ("nan", "max", "metric='nan': run .* has no number of it, or only NaN"),
        ("loss", "least", "kind='least': must be one of min, max, last"),
    ):
        with pytest.raises(ConfigError, match=message):
            run.best(metric, kind)  # type: ignore[arg-type]
    assert math.isnan(run.best("nan", "last").value)


@pytest.fixture
def sweep(tmp_path: Path) -> expman.RunList:
    """Three runs: one with `best` in run.yaml, one without, and one without the metric."""
    stored = make_run(tmp_path, "stored", block(0, {"loss": [4.0, 3.0]}), params={"lr": 0.1})
    with_best(stored, {"loss": MetricBest(3.0, 1, 4.0, 0, 3.0, 1)})
    make_run(tmp_path, "computed", block(0, {"loss": [2.0, 8.0]}), params={"lr": 0.2})
    make_run(tmp_path, "neither", block(0, {"other": [0.0]}))
    return expman.runs(tmp_path)


def test_a_table_of_runs(sweep: expman.RunList) -> None:
    """Each run has a line with the columns that were asked for; null where it has none."""
    table = sweep.table(["run", "loss:min", "loss:min_step", "loss:max", "params.lr"])

    lines = {line.pop("run"): tuple(line.values()) for line in table.to_pylist()}
    assert {
        "stored": (3.0, 1, 4.0, 0.1),
        "computed": (2.0, 0, 8.0, 0.2),
        "neither": (None, None, None, None),
    } == lines


def test_a_table_of_everything(sweep: expman.RunList) -> None:
    """Without columns it has the facts and six columns per metric; pandas has the same."""
    pytest.importorskip("pandas")
    suffixes = ["min", "max", "last", "min_step", "max_step", "last_step"]

    frame = sweep.to_pandas().set_index("run")

    assert {f"loss:{suffix}" for suffix in suffixes} <= set(frame.columns)
    assert {"status", "started_at", "duration_s", "other:max"} <= set(frame.columns)
    assert 8.0 == frame.loc["computed", "loss:max"]
    assert (
        datetime.datetime(2026, 1, 31, 12, 0, tzinfo=datetime.UTC)
        == frame.loc["stored", "started_at"]
    )
    assert 0 == expman.RunList().table().num_rows
    assert 0 == expman.RunList().table(["loss:min"]).num_rows


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("loss:min", ["computed", "stored", "neither"]),
        ("loss:max", ["computed", "stored", "neither"]),
        ("loss:last", ["stored", "computed", "neither"]),
        ("params.lr", ["stored", "computed", "neither"]),
        ("run", ["computed", "neither", "stored"]),
    ],
)
def test_sorting(sweep: expman.RunList, column: str, expected: list[str]) -> None:
    """The best run comes first, runs without a value last."""
    assert expected == [run.name for run in sweep.sorted_by(column)]


def test_the_other_way_round(sweep: expman.RunList) -> None:
    """The greatest value first, on request; runs without a value are still last."""
    found = sweep.sorted_by("loss:min", reverse=True)

    assert ["stored", "computed", "neither"] == [run.name for run in found]


@pytest.mark.parametrize("reverse", [False, True])
def test_nan_is_sorted_last(tmp_path: Path, reverse: bool) -> None:
    """NaN compares with nothing: it must not disturb the order of the others."""
    for name, last in (("a", 0.3), ("b", NAN), ("c", 0.9), ("d", 0.1)):
        make_run(tmp_path, name, block(0, {"loss": [0.5, last]}))
    expected = ["c", "a", "d", "b"] if reverse else ["d", "a", "c", "b"]
    found = expman.runs(tmp_path).sorted_by("loss:last", reverse=reverse)
    assert expected == [run.name for run in found]


def test_parameters_of_several_kinds_are_sorted_as_text(tmp_path: Path) -> None:
    """Lists, texts and numbers cannot be compared with each other."""
    for name, value in (("a", [1, 2]), ("b", ["x"]), ("c", "z"), ("d", 3)):
        make_run(tmp_path, name, params={"p": value})
    found = expman.runs(tmp_path).sorted_by("params.p")
    assert ["d", "b", "a", "c"] == [run.name for run in found]
    lists = expman.RunList(run for run in found if run.name in "ab")
    assert ["b", "a"] == [run.name for run in lists.sorted_by("params.p")]


@pytest.mark.parametrize("column", ["step", "timestamp", "_seq"])
def test_fixed_columns_are_not_metrics(tmp_path: Path, column: str) -> None:
    """They have no best numbers."""
    run = expman.Run(make_run(tmp_path, "r", block(0, {"loss": [1.0]})))
    with pytest.raises(ConfigError, match=f"has no metric '{column}'"):
        run.best(column, "min")


def test_a_metric_that_began_as_text(tmp_path: Path) -> None:
    """Its numbers are in a column of another name; older runs give them, too."""
    run = expman.Run(make_run(tmp_path, "r", block(0, {"mix": ["x"]}), block(1, {"mix": [3.0]})))
    assert 3.0 == run.best("mix", "max").value


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("lss:min", "no run has a number of the metric 'lss'; did you mean 'loss:min'"),
        ("text:min", "no run has a number of the metric 'text'$"),
        ("params.lrr", "no run has the parameter 'lrr'; did you mean 'params.lr'"),
        ("lss", "no run has a parameter, scalar or metric .lss.; did you mean .loss."),
    ],
)
def test_columns_that_no_run_has(sweep: expman.RunList, column: str, message: str) -> None:
    """A column that is in no run is a mistake, for a table and for an order."""
    with pytest.raises(ConfigError, match=message):
        sweep.table([column])
    with pytest.raises(ConfigError, match=message):
        sweep.sorted_by(column)


def test_best_numbers_beside_rows(sweep: expman.RunList) -> None:
    """`expman.vectors` takes the same columns for a run."""
    table = expman.vectors(sweep, ["step", "loss"], run_columns={"run": "run", "loss:min": "best"})

    assert {("stored", 3.0), ("computed", 2.0)} <= {
        (line["run"], line["best"]) for line in table.to_pylist()
    }


def test_a_damaged_run_is_sorted_last(sweep: expman.RunList) -> None:
    """One run.yaml that was damaged after the listing keeps no order from being made."""
    (stored,) = (run for run in sweep if run.name == "stored")
    Path(stored.path, "run.yaml").write_text("status: FINISHED\nbest: 5\n")

    assert "computed" == sweep.sorted_by("loss:min")[0].name
