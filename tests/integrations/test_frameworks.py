"""Real frameworks train on real data, and their runs have what the page says.

Each program runs with the interpreter of `EXPMAN_FRAMEWORKS_PYTHON`; none of them is in this one.
The marker `shows` names the framework and what the test shows of it: the table in
docs/how-to/frameworks.md is made of these.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from conftest import Program
from integrations.trainings import TIMEOUT_S, Train, column, kept, messages, runs_of
from process.runs import wait_until

import expman
from expman import RunStatus

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(600)]


def modes_of(program: Program) -> dict[str, int]:
    """The exit statuses of a program that ran in several modes."""
    found: dict[str, int] = {}
    for line in program.succeed(timeout_s=2 * TIMEOUT_S).splitlines():
        mode, _, status = line.partition(" ")
        found[mode] = found.get(mode) or int(status)  # of the first rank that fails
    return found


def check_failed(base: Path, name: str = "run") -> None:
    """The run of a training that raises is FAILED and says why."""
    failed = runs_of(base)[name]
    assert RunStatus.FAILED == failed.status
    assert str(failed.metadata.reason).startswith("ValueError: a bad batch")


def check_ranks(base: Path, metric: str, steps: list[int]) -> None:
    """Of two processes one records: there is one run, and each row once."""
    (run,) = runs_of(base).values()
    assert RunStatus.FINISHED == run.status
    assert steps == column(run, metric)


def check_killed(base: Path, metric: str, steps: list[int]) -> None:
    """SIGKILL in the middle loses no row that the framework has logged."""
    (run,) = runs_of(base).values()
    wait_until(lambda: runs_of(base)[run.name].status is RunStatus.CRASHED, "the end")
    assert steps == column(runs_of(base)[run.name], metric)


@pytest.mark.shows("transformers", "accumulation", "best score", "FAILED", "kill -9")
@pytest.mark.shows("transformers", "config", "metrics", "evaluation", "checkpoints")
@pytest.mark.shows("transformers", "trained again", "resumed", "ranks")
def test_transformers(train: Train, run_base: Path) -> None:
    """Whole trainings, one that raises, one that goes on, and one that is killed."""
    modes = ("ok", "raise", "caught", "resume", "ranks*2", "kill")
    statuses = (0, 1, 0, 0, 0, -signal.SIGKILL)
    assert list(statuses) == list(modes_of(train("transformers", *modes)).values())

    check_transformers(run_base / "ok")
    check_failed(run_base / "raise", "first")
    check_caught(run_base / "caught")
    check_resumed(run_base / "resume")
    check_ranks(run_base / "ranks", "train/loss", [5, 10, 15, 20])
    check_killed(run_base / "kill", "train/loss", [5, 10])


def check_transformers(base: Path) -> None:
    """Metrics with the trainer's step, arguments, checkpoints; evaluate() is in the same run."""
    (run,) = runs_of(base).values()
    assert ("first", RunStatus.FINISHED) == (run.name, run.status)
    assert [5, 10, 15, 20] == column(run, "train/loss")
    assert [10, 20, 20] == column(run, "eval/loss")
    assert 16 == run.config["args"]["per_device_train_batch_size"]
    assert run.best("eval/loss", "min").value == run.scalars["best_metric"]
    assert ["checkpoint-10", "checkpoint-20"] == [
        line.split(":")[0] for line in messages(run) if line.startswith("checkpoint")
    ]


def check_caught(base: Path) -> None:
    """The Trainer does not say that a training has raised; that another one begins does."""
    found = runs_of(base)
    statuses = {name: str(run.status) for name, run in found.items()}
    assert {"first": "FAILED", "first-1": "FINISHED"} == statuses
    assert [5, 10, 15, 20] == column(found["first-1"], "train/loss")
    reason = "the training ended early: another one has begun"
    assert reason == found["first"].metadata.reason


def check_resumed(base: Path) -> None:
    """A resumed training goes on with its run: each step once, those behind the checkpoint anew."""
    (run,) = expman.runs(str(base), experiment="resumed")
    assert [5, 10, 15, 20] == column(run, "train/loss")
    assert [None, 11] == [attempt.from_step for attempt in run.attempts]
    assert {15, 20} <= set(run.superseded()["step"].to_pylist())
    assert "resumed after step 10" in messages(run)
    assert "checkpoint-20/model.safetensors" in kept(run)


@pytest.mark.shows("lightning", "config", "metrics", "evaluation", "checkpoints", "best score")
@pytest.mark.shows("lightning", "FAILED", "trained again", "resumed", "accumulation", "kill -9")
@pytest.mark.shows("lightning", "ranks")
def test_lightning(train: Train, run_base: Path) -> None:
    """Whole trainings, one that raises, one that goes on, and one that is killed."""
    modes = ("ok", "raise", "again", "ranks", "kill")
    statuses = (0, 0, 0, 0, -signal.SIGKILL)
    assert list(statuses) == list(modes_of(train("lightning", *modes)).values())

    check_lightning(run_base / "ok")
    check_raised(run_base / "raise")
    check_again(run_base / "again")
    check_ranks(run_base / "ranks", "loss", [9, 19, 29, 39])
    check_killed(run_base / "kill", "loss", [9, 19, 29])


def check_lightning(base: Path) -> None:
    """fit and test are one run, whose directory has the checkpoint."""
    (run,) = runs_of(base).values()
    assert RunStatus.FINISHED == run.status
    assert [9, 19, 29, 39, 49, 59, 69, 79, 89] == column(run, "loss")
    assert 2 == len(column(run, "val_loss"))
    assert 1 == len(column(run, "test_loss"))
    assert {"lr": 0.1} == run.config
    best = Path(str(run.scalars["best_model_path"]))
    assert Path(run.path) / "checkpoints" == best.parent
    assert best.exists()
    assert ["checkpoints/best.ckpt"] == kept(run)


def check_raised(base: Path) -> None:
    """The script catches what fit() raised: that run is FAILED all the same, the next is not."""
    found = runs_of(base)
    statuses = {name: str(run.status) for name, run in found.items()}
    assert {"run": "FAILED", "run-1": "FINISHED"} == statuses
    assert "ValueError: a bad batch" == found["run"].metadata.reason
    assert Path(str(found["run-1"].scalars["best_model_path"])).exists()


def check_again(base: Path) -> None:
    """fit() after fit() goes on in the run; a step of the optimizer has one row."""
    (run,) = runs_of(base).values()
    assert [9, 19, 29, 39, 49, 59, 69] == column(run, "loss")
    assert [23, 47, 71] == column(run, "val_loss")


@pytest.mark.parametrize(
    ("framework", "name"), [("trl", "sft"), ("sentence_transformers", "pairs")]
)
@pytest.mark.shows("trl", "config", "metrics", "evaluation", "checkpoints")
@pytest.mark.shows("sentence_transformers", "config", "metrics", "evaluation", "checkpoints")
def test_trainers_of_others(train: Train, run_base: Path, framework: str, name: str) -> None:
    """TRL and sentence-transformers have Trainers of their own, which take report_to, too."""
    train(framework).succeed(timeout_s=TIMEOUT_S)

    (run,) = runs_of(run_base).values()
    assert (name, RunStatus.FINISHED) == (run.name, run.status)
    assert [2, 4] == column(run, "train/loss")
    assert 4 == column(run, "eval/loss")[-1]
    assert 4 == run.config["args"]["max_steps"]
    assert messages(run)[-1].startswith("checkpoint-4: ")


@pytest.mark.shows("lightning", "current run")
def test_lightning_logs_to_the_current_run(
    train: Train, run_base: Path, installed: dict[str, str]
) -> None:
    """Where a run of init() is current, the entry point adds a logger to a Trainer that has one."""
    train("lightning", "join", env=installed).succeed(TIMEOUT_S)

    (run,) = runs_of(run_base).values()
    assert ("current", RunStatus.FINISHED) == (run.name, run.status)
    assert [9, 19, 29, 39, 49, 59, 69, 79, 89] == column(run, "loss")
    assert {"lr": 0.1} == run.config


@pytest.mark.shows("accelerate", "config", "metrics", "FAILED", "ranks")
def test_accelerate(train: Train, run_base: Path) -> None:
    """Parameters, a row per log call; a value that is no metric is left out and named."""
    found = modes_of(train("accelerate", "ok", "raise", "ranks*2"))
    assert {"ok": 0, "raise": 1, "ranks": 0} == found

    check_failed(run_base / "raise")
    check_ranks(run_base / "ranks", "loss", list(range(15)))
    (run,) = runs_of(run_base / "ok").values()
    assert (RunStatus.FINISHED, {"lr": 0.1, "batch": 64}) == (run.status, run.config)
    assert list(range(29)) == column(run, "loss")
    assert ["not numbers or text, left out: odd"] == messages(run)
    assert [("digits", 28)] == [(medium.tag, medium.step) for medium in run.media()]


@pytest.mark.shows("xgboost", "config", "metrics", "evaluation", "checkpoints", "best score")
@pytest.mark.shows("xgboost", "FAILED", "trained again", "resumed")
def test_xgboost(train: Train, run_base: Path) -> None:
    """A row per iteration; a second training and a cross-validation are runs of their own."""
    assert {"ok": 0, "raise": 1} == modes_of(train("xgboost", "ok", "raise"))

    check_failed(run_base / "raise")
    found = runs_of(run_base / "ok")
    assert {"run", "run-1", "more", "cv"} == set(found)
    assert all(RunStatus.FINISHED == run.status for run in found.values())
    assert list(range(8)) == column(found["run-1"], "test/mlogloss")
    assert list(range(3)) == column(found["cv"], "test/mlogloss-std")
    assert 7 == found["run"].scalars["best_iteration"]
    assert "learner" in found["run"].config["xgboost"]
    assert ["model.ubj"] == kept(found["run"])
    assert [0, 1] == column(found["more"], "test/mlogloss")
    assert {} == found["more"].scalars  # not the best of the training before


@pytest.mark.shows("lightgbm", "config", "metrics", "evaluation", "checkpoints", "best score")
@pytest.mark.shows("lightgbm", "FAILED", "trained again", "resumed")
def test_lightgbm(train: Train, run_base: Path) -> None:
    """A row per iteration, also where training stops early."""
    assert {"ok": 0, "raise": 1} == modes_of(train("lightgbm", "ok", "raise"))

    check_failed(run_base / "raise")
    found = runs_of(run_base / "ok")
    assert {"run", "more", "early"} == set(found)
    assert [6, 7] == column(found["more"], "training/multi_logloss")
    assert list(range(6)) == column(found["run"], "test/multi_logloss")
    early = found["early"]
    assert 2 < len(column(early, "valid_0/multi_logloss")) < 50
    best = early.best("valid_0/multi_logloss", "min")
    assert (best.value, best.step) == (early.scalars["best_score"], early.scalars["best_iteration"])
    assert 4 == found["run"].config["lightgbm"]["num_leaves"]
    assert ["model.txt"] == kept(found["run"])


@pytest.mark.shows("optuna", "config", "metrics", "best score", "FAILED")
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
    assert [3] == column(found["trial-1"], "intermediate_value")
    assert ["s"] * 5 == [found[f"trial-{number}"].metadata.group for number in range(5)]


@pytest.mark.shows("keras", "config", "metrics", "evaluation", "checkpoints", "FAILED")
@pytest.mark.shows("keras", "trained again", "resumed")
def test_keras(train: Train, run_base: Path) -> None:
    """A row per epoch, and one per some batches; what goes on is a run of its own."""
    assert {"ok": 0, "raise": 1} == modes_of(train("keras", "ok", "raise"))

    check_failed(run_base / "raise")
    found = runs_of(run_base / "ok")
    assert {"run", "run-1"} == set(found)
    assert all(RunStatus.FINISHED == run.status for run in found.values())
    assert [3, 4] == column(found["run-1"], "val_loss")
    run = found["run"]
    assert ["model.keras"] == kept(run)
    assert [0, 1, 2] == column(run, "val_loss")
    assert [5, 10, 15, 20, 25, 30, 35, 40, 45] == column(run, "batch/loss")
    assert 3 == run.config["fit"]["epochs"]


@pytest.mark.shows("hydra", "config", "FAILED", "trained again")
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


@pytest.mark.shows("stable_baselines3", "config", "metrics", "evaluation")
@pytest.mark.shows("stable_baselines3", "FAILED", "trained again")
def test_stable_baselines3(train: Train, run_base: Path) -> None:
    """Rows have the time step; a second learn() is a run of its own; media are in their place."""
    assert {"ok": 0, "raise": 1} == modes_of(train("stable_baselines3", "ok", "raise"))

    check_failed(run_base / "raise")
    found = runs_of(run_base / "ok")
    assert {"run", "run-1", "logger"} == set(found)
    assert all(RunStatus.FINISHED == run.status for run in found.values())
    assert [64, 128] == sorted(set(column(found["run"], "time/total_timesteps")))
    assert [64, 128] == column(found["run"], "eval/mean_reward")
    assert [192] == column(found["run-1"], "time/total_timesteps")
    params = found["run"].config
    assert ("PPO", "CartPole-v1", 64) == (params["algorithm"], params["env"], params["n_steps"])
    logged = found["logger"]
    assert [64] == column(logged, "loss")
    assert {"hparams": {"gamma": 0.9}} == logged.config
    assert ["seen"] == [medium.tag for medium in logged.media()]
    assert "secret" not in logged.metadata.vectors
    assert (Path(logged.path) / "progress.csv").exists()


@pytest.mark.shows("skorch", "config", "metrics", "evaluation", "best score")
@pytest.mark.shows("skorch", "FAILED", "trained again")
def test_skorch(train: Train, run_base: Path) -> None:
    """A row per epoch; scikit-learn's copies record; a fit that raised is FAILED."""
    train("skorch").succeed(timeout_s=TIMEOUT_S)

    found = runs_of(run_base)
    assert {"failing", "failing-1", "search", *(f"search-{n}" for n in (1, 2, 3))} == set(found)
    failed = found.pop("failing")
    assert RunStatus.FAILED == failed.status
    assert "the training ended early: another one has begun" == failed.metadata.reason
    for run in found.values():
        assert RunStatus.FINISHED == run.status
        assert [1, 2, 3] == column(run, "train_loss") == column(run, "valid_acc")
        assert run.best("valid_loss", "min").value == run.scalars["valid_loss_best"]
    assert [0.1, 0.1, 0.2, 0.2] == sorted(
        run.config["lr"] for name, run in found.items() if name.startswith("search")
    )


def test_tqdm(train: Train, run_base: Path) -> None:
    """Records of logging go above a bar and into run.log; the bar is one line of console.log."""
    printed = train("tqdm")
    printed.succeed(timeout_s=TIMEOUT_S)

    (run,) = runs_of(run_base).values()
    assert [f"train: step {step}" for step in range(3)] == messages(run)
    lines = [line.rpartition("\r")[2].strip() for line in printed.stderr.splitlines()]
    assert ["step 0", "step 1", "step 2"] == [line for line in lines if line.startswith("step")]
    bars = [line.text for line in run.console() if "%" in line.text]
    assert [True] == [bar.startswith("100%") for bar in bars]


@pytest.mark.shows("mlflow", "config", "metrics", "FAILED", "resumed")
def test_mlflow(train: Train, run_base: Path, installed: dict[str, str]) -> None:
    """MLflow's client reads back what it logged; each of its runs is one of ours, too."""
    ended = modes_of(train("mlflow", "ok", "raise", env=installed))
    assert {"ok": 0, "raise": 1} == ended

    # MLflow itself ends the run of a script that raised as FINISHED.
    check_failed(run_base / "raise", "first")
    found = runs_of(run_base / "ok")
    assert {"first", "first-1", "child", "failed"} == set(found)
    first, more, child = found["first"], found["first-1"], found["child"]
    assert {"lr": "0.1", "layers": "2"} == first.config
    assert [0, 1, 2] == column(first, "loss") == column(first, "accuracy")
    assert ("digits", "a note") == (first.experiment, first.metadata.description)
    assert "blue" == first.scalars["tags/team"]
    assert first.scalars["mlflow.run_id"] == child.metadata.group == more.metadata.group
    assert [7] == column(child, "loss")
    assert [3, 3] == column(more, "loss")
    assert ("red", "yes") == (more.scalars["tags/team"], more.config["late"])
    assert {1_700_000_000} == {when.timestamp() for when in more.vectors()["timestamp"].to_pylist()}
    failed = found["failed"]
    assert (RunStatus.FAILED, "ValueError: a bad batch") == (failed.status, failed.metadata.reason)
