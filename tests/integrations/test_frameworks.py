"""Real frameworks train on real data, and their runs have what the page says.

Each program runs with the interpreter of `EXPMAN_FRAMEWORKS_PYTHON`; none of them is in this one.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from integrations.trainings import TIMEOUT_S, Train, column, messages, runs_of
from process.runs import wait_until

import expman
from expman import RunStatus

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(600)]


def test_transformers(train: Train, run_base: Path) -> None:
    """Metrics with the trainer's step, arguments, checkpoints; evaluate() is in the same run."""
    train("transformers").succeed(timeout_s=TIMEOUT_S)

    (run,) = runs_of(run_base).values()
    assert ("first", RunStatus.FINISHED) == (run.name, run.status)
    assert [5, 10, 15, 20] == column(run, "train/loss")
    assert [10, 20, 20] == column(run, "eval/loss")
    assert 16 == run.config["args"]["per_device_train_batch_size"]
    assert run.best("eval/loss", "min").value == run.scalars["best_metric"]
    assert ["checkpoint-10", "checkpoint-20"] == [
        line.split(":")[0] for line in messages(run) if line.startswith("checkpoint")
    ]


def test_transformers_trains_again(train: Train, run_base: Path) -> None:
    """A second train() is a run of its own."""
    train("transformers", "twice").succeed(timeout_s=TIMEOUT_S)

    found = runs_of(run_base)
    assert {"first", "first-1"} == set(found)
    assert all(RunStatus.FINISHED == run.status for run in found.values())
    assert [5, 10, 15, 20] == column(found["first-1"], "train/loss")


def test_lightning(train: Train, run_base: Path) -> None:
    """fit and test are one run, whose directory has the checkpoint."""
    train("lightning").succeed(timeout_s=TIMEOUT_S)

    (run,) = runs_of(run_base).values()
    assert RunStatus.FINISHED == run.status
    assert [9, 19, 29, 39, 49, 59, 69, 79, 89] == column(run, "loss")
    assert 2 == len(column(run, "val_loss"))
    assert 1 == len(column(run, "test_loss"))
    assert {"lr": 0.1} == run.config
    best = Path(str(run.scalars["best_model_path"]))
    assert Path(run.path) / "checkpoints" == best.parent
    assert best.exists()


@pytest.mark.parametrize("framework", ["transformers", "lightning"])
def test_training_that_raises(train: Train, run_base: Path, framework: str) -> None:
    """The run is FAILED and says why, also where the program catches the error."""
    train(framework, "raise").wait(TIMEOUT_S)

    (run,) = runs_of(run_base).values()
    assert RunStatus.FAILED == run.status
    assert "ValueError: a bad batch" in str(run.metadata.reason)


@pytest.mark.parametrize(
    ("framework", "name", "steps"),
    [("transformers", "train/loss", [5, 10]), ("lightning", "loss", [9, 19, 29])],
)
def test_killed_while_training(
    train: Train, run_base: Path, framework: str, name: str, steps: list[int]
) -> None:
    """SIGKILL in the middle loses no row that the framework has logged."""
    assert -signal.SIGKILL == train(framework, "kill").wait(TIMEOUT_S)

    (run,) = runs_of(run_base).values()
    wait_until(lambda: runs_of(run_base)[run.name].status is RunStatus.CRASHED, "the end")
    assert steps == column(runs_of(run_base)[run.name], name)


def test_accelerate(train: Train, run_base: Path) -> None:
    """Parameters, a row per log call; a value that is no metric is left out and named."""
    train("accelerate").succeed(timeout_s=TIMEOUT_S)

    (run,) = runs_of(run_base).values()
    assert (RunStatus.FINISHED, {"lr": 0.1, "batch": 64}) == (run.status, run.config)
    assert list(range(29)) == column(run, "loss")
    assert ["not numbers or text, left out: odd"] == messages(run)


def test_xgboost(train: Train, run_base: Path) -> None:
    """A row per iteration; a second training and a cross-validation are runs of their own."""
    train("xgboost").succeed(timeout_s=TIMEOUT_S)

    found = runs_of(run_base)
    assert {"run", "run-1", "cv"} == set(found)
    assert all(RunStatus.FINISHED == run.status for run in found.values())
    assert list(range(8)) == column(found["run-1"], "test/mlogloss")
    assert list(range(3)) == column(found["cv"], "test/mlogloss-std")
    assert 7 == found["run"].scalars["best_iteration"]
    assert "learner" in found["run"].config["xgboost"]


def test_lightgbm(train: Train, run_base: Path) -> None:
    """A row per iteration, also where training stops early."""
    train("lightgbm").succeed(timeout_s=TIMEOUT_S)

    found = runs_of(run_base)
    assert {"run", "early"} == set(found)
    assert list(range(6)) == column(found["run"], "test/multi_logloss")
    assert 2 < len(column(found["early"], "valid_0/multi_logloss")) < 50
    assert 4 == found["run"].config["lightgbm"]["num_leaves"]


def test_optuna(train: Train, run_base: Path) -> None:
    """A row per trial, and a run per trial: a pruned one has a tag, a failed one its reason."""
    train("optuna").succeed(timeout_s=TIMEOUT_S)

    found = runs_of(run_base)
    assert {"s", *(f"trial-{number}" for number in range(5))} == set(found)
    study = found["s"]
    states = ["COMPLETE", "PRUNED", "FAIL", "COMPLETE", "COMPLETE"]
    assert states == study.vectors(["state"])["state"].to_pylist()
    assert ["pruned"] == found["trial-1"].metadata.tags
    assert RunStatus.FAILED == found["trial-2"].status
    assert "a bad trial" in str(found["trial-2"].metadata.reason)
    assert {"x", "kind"} == set(found["trial-4"].config)
    assert ["s"] * 5 == [found[f"trial-{number}"].metadata.group for number in range(5)]


def test_keras(train: Train, run_base: Path) -> None:
    """A row per epoch, and one per some batches."""
    train("keras").succeed(timeout_s=TIMEOUT_S)

    (run,) = runs_of(run_base).values()
    assert RunStatus.FINISHED == run.status
    assert [0, 1, 2] == column(run, "val_loss")
    assert [5, 10, 15, 20, 25, 30, 35, 40, 45] == column(run, "batch/loss")
    assert 3 == run.config["fit"]["epochs"]


def test_hydra(train: Train, run_base: Path) -> None:
    """Each job is a run with its configuration, and the one that raises is FAILED."""
    train("hydra", "multi").wait(TIMEOUT_S)

    found = {run.config["lr"]: run for run in expman.runs(str(run_base))}
    statuses = {lr: run.status for lr, run in found.items()}
    assert {0.1: RunStatus.FINISHED, 0.9: RunStatus.FAILED} == statuses
    assert {"lr": 0.1, "net": {"layers": [64, 64]}} == found[0.1].config
    assert "lr=0.1" == found[0.1].scalars["overrides"]
    assert [0, 1, 2] == column(found[0.9], "loss")
    assert 1 == len({run.metadata.group for run in found.values()})
