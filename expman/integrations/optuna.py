"""Optuna: a row per trial of a study, or a run per trial."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from expman.engine import LoggingEngine
from expman.experiment import Experiment
from expman.integrations.own_run import OwnRun, needs
from expman.models import LogLevel, RunStatus, reason_of

with needs("optuna"):
    from optuna.exceptions import TrialPruned

__all__ = ["StudyCallback", "trial_run"]


class StudyCallback:
    """Logs a row per trial: values, parameters, state. For `study.optimize(callbacks=[…])`.

    Args:
        experiment: the experiment's name, for a run of its own.
        run: the run to log to; None: the current run of `expman.init()`, else one of its own,
            which ends with `close()` or the program.
        settings: arguments of `expman.Experiment`, for a run of its own.
    """

    def __init__(
        self,
        experiment: str = "optuna",
        run: Experiment | LoggingEngine | None = None,
        **settings: Any,
    ) -> None:
        self._run = OwnRun(experiment, run, settings)

    def __call__(self, study: Any, trial: Any) -> None:
        """Logs the trial as a row whose step is its number, and the best one so far."""
        self._run.begin(study.study_name)
        row = {f"params/{name}": value for name, value in trial.params.items()}
        values = trial.values or []
        names = study.metric_names or _value_names(len(values))
        row |= dict(zip(names, values, strict=True))
        row["state"] = trial.state.name
        self._run.log(row, trial.number)
        with contextlib.suppress(ValueError, RuntimeError):  # none yet, or several objectives
            best = study.best_trial
            self._run.log_scalar("best_value", best.value)
            self._run.log_scalar("best_trial", best.number)
            self._run.log_params({"best_params": best.params})

    def close(self) -> None:
        """Ends a run of its own now."""
        self._run.end()


@contextlib.contextmanager
def trial_run(trial: Any, experiment: str | None = None, **settings: Any) -> Iterator[Experiment]:
    """Begins a run for one trial, in its objective: a context manager.

    Its group is the study, its name `trial-NUMBER`. It ends with the parameters that the trial has
    by then, and what it reported, as `intermediate_value` with its step; FINISHED, or FAILED if the
    block raises. A pruned trial is FINISHED, with the tag `pruned`.

    Args:
        trial: the trial.
        experiment: the experiment's name; None: that of the study.
        settings: arguments of `expman.Experiment`.

    Raises:
        ExpmanError: the run cannot be begun.
    """
    study = trial.study.study_name
    given = {"group": study, "run_name": f"trial-{trial.number}", "suffix_if_taken": True}
    run = Experiment(experiment or study, **{**given, **settings})
    try:
        yield run
    except TrialPruned as exc:
        _log_trial(run, trial)
        run.add_tags("pruned")
        run.engine.log_message(LogLevel.INFO, f"pruned: {exc}")
        run.close()
        raise
    except BaseException as exc:
        _log_trial(run, trial)
        run.close(RunStatus.FAILED, reason_of(exc))
        raise
    _log_trial(run, trial)
    run.close()


def _log_trial(run: Experiment, trial: Any) -> None:
    run.log_params(trial.params)
    found = trial.study.get_trials(deepcopy=False)
    if trial.number < len(found):
        for step, value in sorted(found[trial.number].intermediate_values.items()):
            run.log({"intermediate_value": value}, step)


def _value_names(count: int) -> list[str]:
    return ["value"] if count == 1 else [f"value_{number}" for number in range(count)]
