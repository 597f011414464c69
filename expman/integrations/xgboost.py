"""XGBoost: `callbacks=[XGBoostCallback(…)]` for `train`, `cv` and the estimators."""

from __future__ import annotations

import json
from typing import Any

from expman.engine import LoggingEngine
from expman.experiment import Experiment
from expman.integrations.own_run import OwnRun, needs

with needs("xgboost"):
    from xgboost import collective
    from xgboost.callback import TrainingCallback

__all__ = ["XGBoostCallback"]


class XGBoostCallback(TrainingCallback):
    """Logs a row per iteration: each metric of each evaluation set, as `train/rmse`.

    In a distributed training the first worker records.

    Args:
        experiment: the experiment's name, for a run of its own.
        run: the run to log to; None: the current run of `expman.init()`, else one of its own,
            which ends with the training.
        log_model: keep the model as an artifact, `model.ubj`.
        settings: arguments of `expman.Experiment`, for a run of its own.
    """

    def __init__(
        self,
        experiment: str = "xgboost",
        run: Experiment | LoggingEngine | None = None,
        *,
        log_model: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__()
        self._run = OwnRun(experiment, run, settings)
        self._log_model = log_model
        self._found: dict[str, str] = {}

    def before_training(self, model: Any) -> Any:
        """Begins the run and records the booster's configuration."""
        if collective.get_rank() > 0:
            return model
        self._run.begin_training()
        self._found = _best_of(model)  # of an earlier training that goes on
        if hasattr(model, "save_config"):  # a cross-validation has many
            self._run.log_params({"xgboost": json.loads(model.save_config())})
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: dict[str, Any]) -> bool:
        """Logs a row; training goes on."""
        row: dict[str, float] = {}
        for data, metrics in evals_log.items():
            for metric, values in metrics.items():
                latest = values[-1]
                if isinstance(latest, tuple):  # of a cross-validation
                    row[f"{data}/{metric}"], row[f"{data}/{metric}-std"] = latest
                else:
                    row[f"{data}/{metric}"] = latest
        self._run.log(row, epoch)
        return False

    def after_training(self, model: Any) -> Any:
        """Records the best iteration, and ends a run of its own."""
        best = _best_of(model)
        if best != self._found:
            for name, value in best.items():
                self._run.log_scalar(name, float(value) if name == "best_score" else int(value))
        if self._log_model and hasattr(model, "save_model"):
            self._run.keep("model.ubj", model.save_model)
        self._run.end()
        return model


def _best_of(model: Any) -> dict[str, str]:
    if not hasattr(model, "attr"):
        return {}
    found = {name: model.attr(name) for name in ("best_iteration", "best_score")}
    return {name: value for name, value in found.items() if value is not None}
