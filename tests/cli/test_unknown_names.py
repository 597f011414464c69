"""A name that nothing has is an error that offers the nearest one, in each command alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Expman
from unit.reading.run_files import block, make_run

from expman.metadata import MetricBest


@pytest.mark.parametrize(
    "command", [["ls"], ["ls", "--json"], ["ls", "-e"], ["clean"], ["sql", "SELECT 1", "-e"]]
)
def test_an_experiment_that_does_not_exist(
    expman_command: Expman, store: Path, command: list[str]
) -> None:
    """Wrong usage, and not an empty list."""
    result = expman_command(*command, "digit", base_dir=store)
    assert (2, "") == (result.code, result.out)
    assert f"no experiment 'digit' in {store}; did you mean 'digits'?" in result.err
    other = expman_command(*command, "other", base_dir=store)
    assert 2 == other.code
    assert "no experiment 'other'" in other.err
    assert "list them with: expman ls --experiments" in other.err


@pytest.mark.parametrize("command", ["compare", "report", "show", "plot", "tail", "why", "stacks"])
def test_what_is_neither_a_run_nor_an_experiment(
    expman_command: Expman, store: Path, command: str
) -> None:
    """Commands that take runs name experiments, too."""
    result = expman_command(command, "digti", base_dir=store)
    assert (2, True) == (result.code, "; did you mean 'digits'?" in result.err)


@pytest.mark.parametrize("command", [["ls"], ["catalog"], ["recover"], ["show", "latest"]])
def test_a_base_directory_that_does_not_exist(
    expman_command: Expman, tmp_path: Path, command: list[str]
) -> None:
    """A command that was called elsewhere does not say that all is well."""
    result = expman_command(*command, base_dir=tmp_path / "none")
    assert (1, True) == (result.code, "none: no such directory" in result.err)


def test_a_metric_that_no_run_has(expman_command: Expman, store: Path) -> None:
    """`compare` and `tail` name those that there are; a live run may still get it."""
    hint = "metric 'acuracy'; did you mean 'accuracy'? Metrics: train/loss, accuracy, phase"
    for command in (["compare", "aa", "ab"], ["tail", "aa"]):
        result = expman_command(*command, "-m", "acuracy", base_dir=store)
        assert (2, "", True) == (result.code, result.out, hint in result.err)
    live = expman_command("tail", "c-live", "-m", "acuracy", base_dir=store)
    assert (0, True) == (live.code, hint in live.err)


def test_an_order_counts_for_few_runs_too(expman_command: Expman, run_base: Path) -> None:
    """The best run is in the first column; an order by what no run has is an error."""
    for name, loss in (("a", 0.3), ("b", 0.1), ("c", 0.2)):
        make_run(run_base, name, block(0, {"loss": [loss]}), best={"loss": MetricBest(min=loss)})
    runs = ["compare", "exp", "--sort"]
    assert ["b", "c", "a"] == expman_command(*runs, "loss:min", base_dir=run_base).out.split()[:3]
    found = json.loads(expman_command(*runs, "loss:min", "--json").out)
    assert ["b", "c", "a"] == [run["run"] for run in found["runs"]]
    wrong = expman_command(*runs, "lss")
    assert (2, True) == (wrong.code, "--sort lss: no run has" in wrong.err)


@pytest.mark.parametrize(
    ("metrics", "order"),
    [
        (["epoch", "lr", "loss", "val/loss"], "val/loss:min"),
        (["loss", "accuracy", "validation_accuracy"], "validation_accuracy:max"),
        (["epoch", "grad_norm", "accuracy", "loss"], "accuracy:max"),
        (["interval", "speed"], "interval:min"),
    ],
)
def test_the_usual_order_of_many_runs(
    expman_command: Expman, run_base: Path, metrics: list[str], order: str
) -> None:
    """What is measured on held-out data, else what has a good direction, else what came first."""
    for number in range(6):
        best = MetricBest(min=number / 10, max=number / 10)
        values = dict.fromkeys(metrics, number / 10)
        make_run(run_base, f"r{number}", vectors=values, best=dict.fromkeys(metrics, best))
    result = expman_command("compare", "exp", base_dir=run_base)
    assert f"6 runs, sorted by {order}; another order: --sort METRIC:min" in result.err
    best_run = "r5" if order.endswith(":max") else "r0"
    assert best_run == result.out.splitlines()[1].split()[1]
