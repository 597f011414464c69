"""Ray Tune: three trials, one that fails, and one that is tried again, with checkpoints."""

import os
import sys
import tempfile

import ray
from ray import tune

import expman
from expman.integrations.ray_tune import RayTuneCallback

base, out, mode = sys.argv[1:]


def train(config) -> None:
    checkpoint = tune.get_checkpoint()
    start = 0
    if checkpoint is not None:
        with checkpoint.as_directory() as place, open(f"{place}/step") as file:
            start = int(file.read()) + 1
    for step in range(start, 4):
        if config["kind"] == "fails" and step == 2:
            raise ValueError("a bad batch")
        if config["kind"] == "again" and step == 2 and checkpoint is None:
            raise OSError("a lost disk")
        with tempfile.TemporaryDirectory() as place:
            with open(f"{place}/step", "w") as file:
                file.write(str(step))
            row = {"loss": config["net"]["lr"] / (step + 1), "eval": {"accuracy": step / 4}}
            tune.report(row, checkpoint=tune.Checkpoint.from_directory(place))


os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
ray.init(num_cpus=1, include_dashboard=False, object_store_memory=80_000_000)
kinds = ["fine", "fails", "again"]
with expman.init("driver", "driver", base, quiet=True):  # trials are runs of their own anyway
    results = tune.Tuner(
        train,
        param_space={"net": {"lr": 0.1}, "kind": tune.grid_search(kinds)},
        run_config=tune.RunConfig(
            name="search",
            storage_path=out,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=1),
            callbacks=[RayTuneCallback("digits", base_dir=base)],
        ),
    ).fit()
    print(len(results.errors), "failed")
ray.shutdown()
