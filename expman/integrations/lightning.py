"""Lightning: a logger for `Trainer(logger=…)`, of `lightning` or of `pytorch_lightning`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from expman.engine import LoggingEngine
from expman.experiment import Experiment
from expman.integrations.own_run import OwnRun, needs

with needs("lightning"):
    try:
        from lightning.fabric.loggers.logger import rank_zero_experiment
        from lightning.fabric.utilities.rank_zero import rank_zero_only
        from lightning.pytorch.callbacks.callback import Callback
        from lightning.pytorch.loggers.logger import Logger
    except ImportError:
        from lightning_fabric.loggers.logger import rank_zero_experiment
        from lightning_fabric.utilities.rank_zero import rank_zero_only
        from pytorch_lightning.callbacks.callback import Callback
        from pytorch_lightning.loggers.logger import Logger

__all__ = ["ExpmanLogger", "LoggerAdder"]


class ExpmanLogger(Logger):
    """Records a Trainer's run: hyperparameters, metrics with Lightning's step, the best checkpoint.

    Only rank 0 records. Lightning puts its checkpoints into the run's directory. A run of its own
    begins with the first record. It ends as FAILED where training raises, and otherwise with the
    program or `close()`: `test()` after `fit()` goes into the same run.

    Args:
        experiment: the experiment's name, for a run of its own.
        run: the run to log to; None: the current run of `expman.init()`, else one of its own.
        prefix: put before the names of metrics, with a `/`.
        log_model: keep the best checkpoint as an artifact when it has been saved.
        settings: arguments of `expman.Experiment`, for a run of its own.
    """

    def __init__(
        self,
        experiment: str = "lightning",
        run: Experiment | LoggingEngine | None = None,
        *,
        prefix: str = "",
        log_model: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__()
        self._name = experiment
        self._run = OwnRun(experiment, run, settings)
        self._prefix = f"{prefix}/" if prefix else ""
        self._log_model = log_model
        self._kept = ""

    @property
    @rank_zero_experiment
    def experiment(self) -> LoggingEngine:
        """The run, on rank 0; it begins when this is first asked for."""
        return self._run.begin()

    @property
    def name(self) -> str:
        """The experiment's name."""
        engine = self._run.engine
        return self._name if engine is None else engine.config.name

    @property
    def version(self) -> str | None:
        """The run's name; None on ranks above 0."""
        return None if rank_zero_only.rank else self._run.begin().config.run_name

    @property
    def save_dir(self) -> str | None:
        """The base directory: checkpoints go to the run's own. Rank 0 says where they go to."""
        return None if rank_zero_only.rank else self._run.begin().config.base_dir

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Records hyperparameters."""
        if params:
            self._run.begin()
            self._run.log_params(params)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs a row."""
        self._run.begin()
        self._run.log({self._prefix + key: value for key, value in metrics.items()}, step)

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Records the best score and where its checkpoint is."""
        score = getattr(checkpoint_callback, "best_model_score", None)
        path = getattr(checkpoint_callback, "best_model_path", "")
        self._run.begin()
        if score is not None:
            self._run.log_scalar("best_model_score", score.item())
        if path:
            self._run.log_scalar("best_model_path", path)
        if path and self._log_model and path != self._kept:
            self._kept = path
            self._run.save_artifact(path, "checkpoints/best.ckpt")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Ends a run of its own as FAILED if training raised."""
        if status == "failed":
            self._run.end(sys.exc_info()[1] or "training failed")

    @rank_zero_only
    def close(self) -> None:
        """Ends a run of its own now."""
        self._run.end()


class LoggerAdder(Callback):
    """Has a Trainer log to the current run beside its other loggers.

    An entry point adds it to each Trainer that is made while a run of `expman.init()` is current. A
    Trainer without loggers, or with an ExpmanLogger, stays as it is.
    """

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Adds the logger."""
        loggers = list(trainer.loggers)
        if loggers and not any(isinstance(logger, ExpmanLogger) for logger in loggers):
            trainer.loggers = [*loggers, ExpmanLogger()]
