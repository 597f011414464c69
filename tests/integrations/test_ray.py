"""Ray Tune and Ray Train run on this machine, and their runs have what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest
from integrations.trainings import TIMEOUT_S, Train, column, messages, runs_of

from expman import RunStatus

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(600)]


@pytest.mark.shows("ray_tune", "config", "metrics", "checkpoints", "FAILED", "resumed")
def test_ray_tune(train: Train, run_base: Path, ray_env: dict[str, str]) -> None:
    """A trial is a run: its group is the experiment's; one that is tried again goes on in it."""
    train("ray_tune", env=ray_env).succeed(timeout_s=2 * TIMEOUT_S)

    found = {run.config["kind"]: run for run in runs_of(run_base).values() if run.config}
    assert {"fine", "fails", "again"} == set(found)
    assert {"search"} == {run.metadata.group for run in found.values()}
    assert {"net": {"lr": 0.1}, "kind": "fine"} == found["fine"].config
    for kind, steps in {"fine": [1, 2, 3, 4], "fails": [1, 2], "again": [1, 2, 3, 4]}.items():
        assert steps == column(found[kind], "loss") == column(found[kind], "eval/accuracy")
    statuses = {kind: (run.status, run.metadata.reason) for kind, run in found.items()}
    assert (RunStatus.FAILED, "ValueError: a bad batch") == statuses.pop("fails")
    assert {(RunStatus.FINISHED, None)} == set(statuses.values())
    assert "tried again: OSError: a lost disk" in messages(found["again"])
    names = [line.split(":")[0] for line in messages(found["fine"])]
    assert [f"checkpoint_{number:06}" for number in range(4)] == names
    assert Path(messages(found["fine"])[-1].split(": ")[1], "step").exists()


@pytest.mark.shows("ray_train", "config", "metrics", "checkpoints", "best score", "FAILED")
@pytest.mark.shows("ray_train", "ranks", "resumed", "current run")
def test_ray_train(train: Train, run_base: Path, ray_env: dict[str, str]) -> None:
    """A row per report of rank 0, also after a failure that Ray recovers from; FAILED otherwise."""
    train("ray_train", env=ray_env).succeed(timeout_s=2 * TIMEOUT_S)

    found = runs_of(run_base)
    assert {"failing", "joined"} == set(found)
    failing, joined = found["failing"], found["joined"]
    reason = "ValueError: a bad batch"
    assert (RunStatus.FAILED, reason) == (failing.status, failing.metadata.reason)
    assert (RunStatus.FINISHED, None) == (joined.status, joined.metadata.reason)
    assert [0] == column(failing, "loss")
    assert [0, 1, 2] == column(joined, "loss")
    assert {0} == set(joined.vectors(["rank"])["rank"].to_pylist())
    assert {"lr": 0.1} == joined.config["train_loop_config"]
    assert 2 == joined.config["ray"]["num_workers"]
    assert [f"rank {rank}: {reason}" for rank in (0, 1)] == [
        line for line in messages(joined) if line.startswith("rank")
    ]
    assert 0.1 / 3 == joined.scalars["best_score"]
    assert Path(str(joined.scalars["best_checkpoint"]), "step").exists()
    assert str(joined.scalars["best_checkpoint"]) in messages(joined)[-1]
