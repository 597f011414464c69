"""Ray Train V2: `RunConfig(callbacks=[RayTrainCallback(…)])` for TorchTrainer and its like."""

from __future__ import annotations

from typing import Any

from expman.engine import LoggingEngine
from expman.experiment import Experiment
from expman.integrations.own_run import OwnRun, needs
from expman.models import LogLevel

with needs("ray", "'ray[train]'", "ray_train"):
    from ray.train.v2._internal.execution.callback import (
        ControllerCallback,
        ReportCallback,
        WorkerGroupCallback,
    )

__all__ = ["RayTrainCallback"]


class RayTrainCallback(ControllerCallback, ReportCallback, WorkerGroupCallback):
    """Records a training: its configuration, a row per report, paths of checkpoints, its end.

    The rows are those of rank 0. Their step is `step` where a report has one, and otherwise the
    number of the report, from 0. Failures that Ray recovers from are lines of run.log. A
    `UserCallback` of Ray is not told when a training has ended, so this one has the hooks of Ray's
    controller, in whose process it works.

    Args:
        experiment: the experiment's name, for a run of its own.
        run: the run to log to; None: the current run of `expman.init()` in the process that calls
            `fit()`, else one of its own, which ends with the training.
        log_checkpoints: keep each checkpoint as an artifact. Otherwise run.log has its path.
        settings: arguments of `expman.Experiment`, for a run of its own. Its name is that of Ray's
            `RunConfig` unless `run_name` is given.
    """

    def __init__(
        self,
        experiment: str = "ray",
        run: Experiment | LoggingEngine | None = None,
        *,
        log_checkpoints: bool = False,
        **settings: Any,
    ) -> None:
        self._run = OwnRun(experiment, run, settings)
        self._log_checkpoints = log_checkpoints
        self._reports = 0
        self._config: Any = None

    def after_controller_start(self, train_run_context: Any) -> None:
        """Begins the run and records the configuration."""
        self._config = train_run_context.run_config
        self._run.begin(self._config.name)
        scaling = train_run_context.scaling_config
        self._run.log_params(
            {
                "train_loop_config": train_run_context.train_loop_config or {},
                "ray": {
                    "name": self._config.name,
                    "storage_path": self._config.storage_path,
                    "num_workers": scaling.num_workers,
                    "use_gpu": scaling.use_gpu,
                    "resources_per_worker": scaling.resources_per_worker,
                },
            }
        )

    def after_report(self, training_report: Any, metrics: list[dict[str, Any]]) -> None:
        """Logs a row, and notes a checkpoint or keeps it."""
        values = dict(metrics[0]) if metrics else {}
        step = self._reports
        if isinstance(values.get("step"), int):
            step = values.pop("step")
        self._run.log(values, step)
        self._reports += 1
        self._note(training_report.checkpoint)

    def _note(self, checkpoint: Any) -> None:
        if checkpoint is None:
            return
        name = str(checkpoint.path).rstrip("/").rpartition("/")[2]
        if getattr(checkpoint.filesystem, "type_name", None) == "local":
            self._run.note_file(checkpoint.path, name, keep=self._log_checkpoints)
        else:
            self._run.say(LogLevel.INFO, f"{name}: {checkpoint.path}")

    def after_worker_group_poll_status(self, worker_group_status: Any) -> None:
        """Notes what workers have raised."""
        for rank, error in worker_group_status.errors.items():
            self._run.say(LogLevel.ERROR, f"rank {rank}: {type(error).__name__}: {error}")

    def after_controller_finish(self, result: Any) -> None:
        """Records the best checkpoint, and ends a run of its own."""
        self._log_best(result.best_checkpoints or [])
        self._run.end(None if result.error is None else _cause(result.error))

    def _log_best(self, checkpoints: list[tuple[Any, dict[str, Any]]]) -> None:
        wanted = self._config.checkpoint_config
        name = wanted.checkpoint_score_attribute
        scored = [(metrics[name], one) for one, metrics in checkpoints if name and name in metrics]
        if scored:
            best = max if wanted.checkpoint_score_order == "max" else min
            score, checkpoint = best(scored, key=lambda pair: pair[0])
            self._run.log_scalar("best_score", score)
            self._run.log_scalar("best_checkpoint", checkpoint.path)

    def before_controller_abort(self) -> None:
        """Ends a run of its own, which the user has interrupted."""
        self._run.end("interrupted")

    def __getstate__(self) -> dict[str, object]:
        """The controller is another process: it joins the run that is current in this one."""
        return {**self.__dict__, "_run": self._run.for_another_process()}


def _cause(error: Any) -> BaseException | str:
    """What a worker raised, where that ended the training."""
    failures = getattr(error, "worker_failures", None)
    if not failures:
        return error if isinstance(error, BaseException) else str(error)
    found = failures[min(failures)]
    cause: BaseException = getattr(found, "cause", None) or found
    return cause
