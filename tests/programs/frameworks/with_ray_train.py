"""Ray Train: two workers report and fail once. One training ends there, another goes on."""

import os
import sys
import tempfile

os.environ["RAY_TRAIN_V2_ENABLED"] = "1"

import ray
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

import expman
from expman.integrations.ray_train import RayTrainCallback

base, out, mode = sys.argv[1:]


def train(config) -> None:
    rank = ray.train.get_context().get_world_rank()
    checkpoint = ray.train.get_checkpoint()
    start = 0
    if checkpoint is not None:
        with checkpoint.as_directory() as place, open(f"{place}/step") as file:
            start = int(file.read()) + 1
    for step in range(start, 3):
        if step == 1 and checkpoint is None:
            raise ValueError("a bad batch")
        with tempfile.TemporaryDirectory() as place:
            with open(f"{place}/step", "w") as file:
                file.write(str(step))
            kept = Checkpoint.from_directory(place) if rank == 0 else None
            ray.train.report(
                {"loss": config["lr"] / (step + 1), "rank": rank, "step": step}, checkpoint=kept
            )


def fit(name: str, failures: int) -> None:
    trainer = DataParallelTrainer(
        train,
        train_loop_config={"lr": 0.1},
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 0.5}),
        run_config=RunConfig(
            name=name,
            storage_path=out,
            callbacks=[RayTrainCallback("digits", base_dir=base, quiet=True)],
            failure_config=FailureConfig(max_failures=failures),
            checkpoint_config=CheckpointConfig(
                checkpoint_score_attribute="loss", checkpoint_score_order="min"
            ),
        ),
    )
    trainer.fit()


ray.init(num_cpus=1, include_dashboard=False, object_store_memory=80_000_000)
try:
    fit("failing", 0)
except ray.train.TrainingFailedError as exc:
    print("failed:", type(exc).__name__)
with expman.init("digits", "joined", base, quiet=True):
    fit("joining", 1)
ray.shutdown()
