"""Hugging Face transformers: `report_to="expman"`, or ExpmanCallback.

Importing this module registers the name "expman" for `TrainingArguments(report_to=…)`. Trainers of
TRL and sentence-transformers take both, too.
"""

from __future__ import annotations

from typing import Any

from expman.engine import LoggingEngine
from expman.experiment import Experiment
from expman.integrations.own_run import OwnRun, needs
from expman.models import LogLevel

with needs("transformers"):
    from transformers import TrainerCallback
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

__all__ = ["ExpmanCallback"]


class ExpmanCallback(TrainerCallback):
    """Records a Trainer's run: arguments, model configuration, metrics, checkpoints, best score.

    Only the first process of a job records. Metrics have the trainer's global step. Names are
    those of the trainer, as `train/loss` and `eval/loss`. A run of its own begins with `train()`.
    It stays open for `evaluate()` and `predict()` until the next `train()`, `close()` or the end
    of the program, which gives it its status.

    Args:
        experiment: the experiment's name, for a run of its own.
        run: the run to log to; None: the current run of `expman.init()`, else one of its own.
        log_checkpoints: keep each checkpoint as an artifact. Otherwise run.log has its path.
        settings: arguments of `expman.Experiment`, for a run of its own. Its name is
            `TrainingArguments.run_name` unless `run_name` is given.
    """

    def __init__(
        self,
        experiment: str = "huggingface",
        run: Experiment | LoggingEngine | None = None,
        *,
        log_checkpoints: bool = False,
        **settings: Any,
    ) -> None:
        self._run = OwnRun(experiment, run, settings)
        self._log_checkpoints = log_checkpoints

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Begins the run, or the next one, and records the arguments."""
        if not state.is_world_process_zero:
            return
        # Rows have the number of steps that are done: the first one comes after this many.
        from_step = state.global_step + 1 if state.global_step else None
        self._run.begin_training(state.trial_name or args.run_name, from_step)
        self._describe(args, state, others.get("model"))
        if state.global_step:
            self._run.say(LogLevel.INFO, f"resumed after step {state.global_step}")

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **others: Any
    ) -> None:
        """Logs a row."""
        if not state.is_world_process_zero or not logs:
            return
        if self._run.engine is None:  # evaluate() without train()
            self._run.begin(state.trial_name or args.run_name)
            self._describe(args, state, others.get("model"))
        self._run.log({_named(key): value for key, value in logs.items()}, state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Notes a checkpoint, or keeps it."""
        if state.is_world_process_zero:
            name = f"checkpoint-{state.global_step}"
            self._run.note_file(f"{args.output_dir}/{name}", name, keep=self._log_checkpoints)

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Records the best score. The run stays open."""
        if not state.is_world_process_zero:
            return
        self._run.end_training()
        if state.best_metric is not None:
            self._run.log_scalar("best_metric", state.best_metric)
        if state.best_model_checkpoint:
            self._run.log_scalar("best_model_checkpoint", state.best_model_checkpoint)

    def close(self) -> None:
        """Ends a run of its own now."""
        self._run.end()

    def _describe(self, args: Any, state: Any, model: Any) -> None:
        self._run.log_params({"args": args.to_dict()})
        config = getattr(model, "config", None)
        if config is not None and hasattr(config, "to_dict"):
            self._run.log_params({"model": config.to_dict()})
        if state.trial_params:
            self._run.log_params({"trial": state.trial_params})


def _named(key: str) -> str:
    for part in ("eval", "test"):
        if key.startswith(f"{part}_"):
            return f"{part}/{key[len(part) + 1 :]}"
    return f"train/{key}"  # the mean of a training is train_loss, and not another loss


INTEGRATION_TO_CALLBACK.setdefault("expman", ExpmanCallback)
