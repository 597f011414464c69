"""LightGBM: `callbacks=[LightGBMCallback(…)]` for `train`, `cv` and the estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expman.engine import LoggingEngine
from expman.experiment import Experiment
from expman.integrations.own_run import OwnRun

__all__ = ["LightGBMCallback"]


class LightGBMCallback:
    """Logs a row per iteration: each metric of each evaluation set, as `valid_0/l2`.

    `best_score` and `best_iteration` are those of the first metric of the last set.

    It imports nothing of LightGBM, which takes any callable.

    Args:
        experiment: the experiment's name, for a run of its own.
        run: the run to log to; None: the current run of `expman.init()`, else one of its own. That
            ends with the last iteration, or, where training stops early, with the next training,
            `close()` or the program.
        log_model: keep the model of the last iteration as an artifact, `model.txt`.
        settings: arguments of `expman.Experiment`, for a run of its own.
    """

    order = 15  # behind record_evaluation, before early_stopping, which raises
    before_iteration = False

    def __init__(
        self,
        experiment: str = "lightgbm",
        run: Experiment | LoggingEngine | None = None,
        *,
        log_model: bool = False,
        **settings: Any,
    ) -> None:
        self._run = OwnRun(experiment, run, settings)
        self._log_model = log_model
        self._best: float | None = None

    def __call__(self, env: Any) -> None:
        """Takes the `CallbackEnv` of an iteration."""
        if env.iteration == env.begin_iteration:
            self._run.end()
            self._run.begin()
            self._run.log_params({"lightgbm": dict(env.params)})
            self._best = None
        row: dict[str, float] = {}
        for result in env.evaluation_result_list or ():
            data, metric, value = result[:3]
            row[f"{data}/{metric}"] = value
            if len(result) > 4:  # of a cross-validation
                row[f"{data}/{metric}-std"] = result[4]
        self._run.log(row, env.iteration)
        self._note_best(env.evaluation_result_list or (), env.iteration)
        if env.iteration == env.end_iteration - 1:
            if self._log_model and hasattr(env.model, "save_model"):  # a cross-validation has many
                self._run.keep("model.txt", env.model.save_model)
            self._run.end()

    def _note_best(self, results: Sequence[Any], iteration: int) -> None:
        """Training may stop at any iteration without a word to this callback."""
        found = [result for result in results if result[0] == results[-1][0]]
        if not found:
            return
        _, _, score, is_higher_better = found[0][:4]
        best = self._best
        if best is None or (score > best if is_higher_better else score < best):
            self._best = score
            self._run.log_scalar("best_score", score)
            self._run.log_scalar("best_iteration", iteration)

    def close(self) -> None:
        """Ends a run of its own now."""
        self._run.end()
