"""Ray Tune: `RunConfig(callbacks=[RayTuneCallback(…)])`, a run for each trial."""

from __future__ import annotations

import pickle
from typing import Any

from expman import notices
from expman.errors import ExpmanError
from expman.integrations.own_run import OwnRun, needs
from expman.models import LogLevel

with needs("ray", "'ray[tune]'", "ray_tune"):
    from ray.tune.logger import LoggerCallback
    from ray.tune.result import AUTO_RESULT_KEYS

__all__ = ["RayTuneCallback"]

_KEPT = {"timesteps_total", "episodes_total", "time_total_s"}
_LEFT_OUT = (set(AUTO_RESULT_KEYS) - _KEPT) | {
    *("done", "experiment_id", "experiment_tag", "hist_stats", "should_checkpoint", "trial_id"),
}


class RayTuneCallback(LoggerCallback):
    """Makes each trial a run: configuration, a row per result, paths of checkpoints, its end.

    The rows have `training_iteration` as step. The runs of an experiment of Tune have its name as
    group. A trial that is paused or tried again goes on in its run. A trial that failed makes its
    run FAILED, with the reason. The callback works in the process that calls `Tuner.fit()`; a
    trial records nothing itself. So the runs have neither a console nor samples of the machine,
    unless `settings` ask for them.

    Args:
        experiment: the experiment's name.
        log_checkpoints: keep each checkpoint as an artifact. Otherwise run.log has its path.
        settings: arguments of `expman.Experiment` for the runs.
    """

    def __init__(
        self, experiment: str = "tune", *, log_checkpoints: bool = False, **settings: Any
    ) -> None:
        super().__init__()
        self._experiment = experiment
        self._log_checkpoints = log_checkpoints
        self._settings = {
            "redirect_console": False,
            "system_metrics_interval_secs": 0,
            "quiet": True,
            **settings,
        }
        self._runs: dict[str, OwnRun] = {}
        self._has_begun = False

    def log_trial_start(self, trial: Any) -> None:
        """Begins the run, and records the configuration, which may change while it is paused."""
        run = self._runs.get(trial.trial_id)
        if run is None:
            run = self._begin(trial)
        run.log_params(trial.config)

    def _begin(self, trial: Any) -> OwnRun:
        settings = {"group": trial.experiment_dir_name, **self._settings}
        run = self._runs[trial.trial_id] = OwnRun(self._experiment, None, settings, joins=False)
        try:
            run.begin(str(trial))
        except ExpmanError as exc:
            if not self._has_begun:
                raise
            notices.warn(f"expman: no run for trial {trial}: {exc}")
        self._has_begun = True
        run.log_scalar("trial_id", trial.trial_id)
        return run

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        """Logs a row; values of nested results have names as `eval/loss`."""
        run = self._runs.get(trial.trial_id)
        if run is not None:
            own = {key: value for key, value in result.items() if key not in _LEFT_OUT}
            run.log(_flat(own), result.get("training_iteration"))

    def on_checkpoint(
        self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any
    ) -> None:
        """Notes a checkpoint, or keeps it."""
        run = self._runs.get(trial.trial_id)
        if run is None:
            return
        result = trial.last_result or {}
        name = str(result.get("checkpoint_dir_name") or "checkpoint")
        if _is_local(checkpoint):
            run.note_file(checkpoint.path, name, keep=self._log_checkpoints)
        else:
            run.say(LogLevel.INFO, f"{name}: {checkpoint.path}")

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Notes why a trial that goes on had failed."""
        run = self._runs.get(trial.trial_id)
        if run is not None:
            run.say(LogLevel.WARN, f"tried again: {_short(_error_of(trial))}")

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        """Ends the run."""
        run = self._runs.pop(trial.trial_id, None)
        if run is not None:
            run.end(_error_of(trial) if failed else None)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Ends the runs of trials that Tune gave up."""
        while self._runs:
            _, run = self._runs.popitem()
            run.end("the experiment ended before the trial")

    def __getstate__(self) -> dict[str, object]:
        """Tune keeps its callbacks with the experiment; runs are of this process alone."""
        return {**self.__dict__, "_runs": {}}


def _error_of(trial: Any) -> BaseException | str:
    """What a trial raised, or what Tune says about it: from this process's copies of the files.

    Those in the experiment's storage, which Tune reads itself, may still be of an earlier failure.
    """
    try:
        with open(trial.pickled_error_file, "rb") as file:
            error = pickle.load(file)  # written by this very process
        cause: BaseException = getattr(error, "cause", None) or error
        return cause
    except Exception:  # noqa: BLE001 - there is none, or an exception of the user's does not unpickle
        pass
    try:
        with open(trial.error_file, encoding="utf-8", errors="replace") as file:
            return file.read().strip().rpartition("\n")[2]
    except (OSError, TypeError):
        return "the trial failed"


def _short(error: BaseException | str) -> str:
    return error if isinstance(error, str) else f"{type(error).__name__}: {error}"


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}/")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _is_local(checkpoint: Any) -> bool:
    return getattr(checkpoint.filesystem, "type_name", None) == "local"
