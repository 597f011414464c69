"""Stable-Baselines3: `learn(callback=StableBaselines3Callback(…))`, or a writer of its logger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from expman.engine import LoggingEngine
from expman.experiment import Experiment
from expman.integrations.own_run import OwnRun, needs
from expman.integrations.tensors import picture_of

with needs("stable_baselines3", "stable-baselines3"):
    from stable_baselines3.common import logger as sb3_logger
    from stable_baselines3.common.callbacks import BaseCallback

__all__ = ["StableBaselines3Callback", "StableBaselines3Writer", "configure"]


class StableBaselines3Writer(sb3_logger.KVWriter):
    """Writes what Stable-Baselines3's logger records into a run; the step is its time step.

    Pictures, figures, videos and hyperparameters go where a run has them. A key whose `exclude`
    names `expman` is left out.

    Args:
        run: of the integration.
    """

    def __init__(self, run: OwnRun) -> None:
        self._run = run

    def write(
        self,
        key_values: Mapping[str, Any],
        key_excluded: Mapping[str, Sequence[str] | None],
        step: int = 0,
    ) -> None:
        """Logs a row, and what is not a number beside it."""
        row: dict[str, Any] = {}
        for key, value in key_values.items():
            if "expman" in (key_excluded.get(key) or ()):
                continue
            if not self._write_medium(key, value, step):
                row[key] = value
        self._run.log(row, step)

    def _write_medium(self, key: str, value: Any, step: int) -> bool:
        run = self._run
        match value:
            case sb3_logger.Image(image=image, dataformats=axes):
                shown = image if isinstance(image, str) else picture_of(image, axes)
                run.attempt(LoggingEngine.log_image, key, shown, step)
            case sb3_logger.Figure(figure=figure):
                run.attempt(LoggingEngine.log_figure, key, figure, step)
            case sb3_logger.Video(frames=frames, fps=fps):
                for number, one in enumerate(frames):  # a batch of videos
                    tag = f"{key}-{number}" if number else key
                    run.attempt(LoggingEngine.log_video, tag, one, step, fps=fps)
            case sb3_logger.HParam(hparam_dict=params):
                run.log_params({key: dict(params)})
            case _:
                return False
        return True

    def close(self) -> None:
        """Ends a run of its own."""
        self._run.end()


def configure(
    folder: str | None = None,
    format_strings: Sequence[str] = ("stdout",),
    *,
    experiment: str = "stable-baselines3",
    run: Experiment | LoggingEngine | None = None,
    **settings: Any,
) -> Any:
    """A logger for `model.set_logger(…)` that also records a run.

    Args:
        folder: where other formats write; the run's directory if left out.
        format_strings: other formats of Stable-Baselines3, as "csv".
        experiment: the experiment's name, for a run of its own.
        run: the run to log to; None: the current run of `expman.init()`, else one of its own,
            which ends with the logger's `close()` or the program.
        settings: arguments of `expman.Experiment`, for a run of its own.
    """
    own = OwnRun(experiment, run, settings)
    engine = own.begin()
    logger = sb3_logger.configure(folder or engine.run_dir, list(format_strings))
    logger.output_formats.append(StableBaselines3Writer(own))
    return logger


class StableBaselines3Callback(BaseCallback):
    """Records a training: parameters of the algorithm, and what its logger dumps.

    An `EvalCallback` logs its evaluations by the same logger, so they are in the run as
    `eval/mean_reward`.

    Args:
        experiment: the experiment's name, for a run of its own.
        run: the run to log to; None: the current run of `expman.init()`, else one of its own,
            which ends with `learn()`.
        settings: arguments of `expman.Experiment`, for a run of its own.
    """

    def __init__(
        self,
        experiment: str = "stable-baselines3",
        run: Experiment | LoggingEngine | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        self._run = OwnRun(experiment, run, settings)
        self._writer = StableBaselines3Writer(self._run)

    def _on_training_start(self) -> None:
        self._run.begin_training()
        self._run.log_params(_parameters(self.model))
        self.model.logger.output_formats.append(self._writer)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        formats = self.model.logger.output_formats
        if self._writer in formats:  # a logger that the user has set serves the next training, too
            formats.remove(self._writer)
        self._run.end()


def _parameters(model: Any) -> dict[str, Any]:
    plain = {
        key: value
        for key, value in vars(model).items()
        if not key.startswith("_") and isinstance(value, bool | int | float | str | dict)
    }
    found: dict[str, Any] = {"algorithm": type(model).__name__, **plain}
    if getattr(model, "policy_class", None) is not None:
        found["policy"] = model.policy_class.__name__
    if model.env is not None:
        specs = model.env.get_attr("spec")
        found["env"] = getattr(specs[0], "id", None) if specs else None
    return found
