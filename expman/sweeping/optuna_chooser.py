"""Trials that Optuna chooses, by its samplers, pruners and storages."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Collection, Iterable
from typing import Any

import optuna
from optuna.trial import TrialState

from expman.errors import ConfigError
from expman.sweeping.config import Choice, Range, SweepConfig
from expman.sweeping.search import Param, count_trials, params_of
from expman.sweeping.trials import Sweep, Trial

__all__ = ["OptunaChooser"]

_SAMPLERS = {
    "grid": "RandomSampler",  # unused: a grid's trials are enqueued
    "random": "RandomSampler",
    "tpe": "TPESampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
    "nsgaii": "NSGAIISampler",
}
_PRUNERS = {
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "hyperband": "HyperbandPruner",
    "halving": "SuccessiveHalvingPruner",
}
_COUNTED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


class OptunaChooser:
    """A study whose trials are processes.

    Args:
        sweep: the sweep.
        known: the trials of an earlier call.
        most: choose at most so many; None for as many as the sweep has left, and nobody else
            runs trials of it now.

    Raises:
        ConfigError: Optuna has no such sampler or pruner, or takes no such options.
    """

    def __init__(self, sweep: Sweep, known: Collection[Trial], *, most: int | None = None) -> None:
        self._config = config = sweep.config
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study = optuna.create_study(
                study_name=config.name,
                storage=config.storage or _journal(sweep),
                load_if_exists=True,
                direction=config.goal,
                pruner=_pruner(config),
            )
            self._study.sampler = _sampler(config, len(self._study.trials))
        if config.method == "grid" and not self._study.trials:
            for number in range(count_trials(config)):
                self._study.enqueue_trial(dict(params_of(config, number)))
        if most is None:
            self._drop_unknown({trial.number for trial in known})
        failed = sum(trial.status == "FAILED" for trial in known)
        counted = sum(trial.state in _COUNTED for trial in self._study.trials)
        left = max(0, (config.trials or count_trials(config)) - counted - failed)
        self._left = left if most is None else min(most, left)
        self._asked: dict[int, optuna.trial.Trial] = {}

    def _drop_unknown(self, known: set[int]) -> None:
        """Gives up trials that were chosen right before the sweep was killed."""
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if frozen.number not in known:
                self._tell(frozen.number, None, TrialState.FAIL)

    def next(self) -> tuple[int, dict[str, Param]] | None:
        """Returns number and parameters of the next trial; None if there is none."""
        if not self._left:
            return None
        self._left -= 1
        trial = self._study.ask()
        self._asked[trial.number] = trial
        params = {name: _suggest(trial, name, one) for name, one in self._config.params.items()}
        return trial.number, params

    def report(self, number: int, values: Iterable[tuple[int, float]]) -> bool:
        """Takes steps and values of a live trial; returns whether it is to be ended early."""
        trial = self._trial(number)
        for step, value in values:
            if math.isfinite(value):
                trial.report(value, step)
        return self._config.pruner is not None and trial.should_prune()

    def tell(self, trial: Trial) -> None:
        """Takes a trial that has ended."""
        match trial.status, trial.result:
            case "FINISHED", float(value) if math.isfinite(value):
                self._tell(trial.number, value, TrialState.COMPLETE)
            case "PRUNED", _:
                self._tell(trial.number, None, TrialState.PRUNED)
            case _:
                self._tell(trial.number, None, TrialState.FAIL)

    def lose(self, trial: Trial) -> bool:
        """Has its parameters chosen once more, under another number."""
        self._tell(trial.number, None, TrialState.FAIL)
        self._study.enqueue_trial(dict(trial.params))
        self._left += 1
        return True

    def _tell(self, number: int, value: float | None, state: TrialState) -> None:
        self._study.tell(number, value, state=state, skip_if_finished=True)

    def _trial(self, number: int) -> optuna.trial.Trial:
        if number not in self._asked:  # by the sweep before this one, which was killed
            frozen = next(one for one in self._study.trials if one.number == number)
            self._asked[number] = optuna.trial.Trial(self._study, frozen._trial_id)
        return self._asked[number]


def _journal(sweep: Sweep) -> optuna.storages.JournalStorage:
    path = os.path.join(sweep.path, "optuna.journal")
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))


def _sampler(config: SweepConfig, done: int) -> optuna.samplers.BaseSampler:
    options: dict[str, Any] = dict(config.sampler_options)
    # A sampler that begins again with the same seed would choose what it chose at first.
    options.setdefault("seed", config.seed + done)
    return _made(optuna.samplers, _SAMPLERS, "sampler", config.method, options)


def _pruner(config: SweepConfig) -> optuna.pruners.BasePruner:
    if config.pruner is None:
        return optuna.pruners.NopPruner()
    return _made(optuna.pruners, _PRUNERS, "pruner", config.pruner, config.pruner_options)


def _made(module: Any, known: dict[str, str], what: str, name: str, options: dict[str, Any]) -> Any:
    if name not in known:
        raise ConfigError(what, name, f"must be one of {', '.join(known)}")
    make: Callable[..., Any] = getattr(module, known[name])
    try:
        return make(**options)
    except (TypeError, ValueError) as exc:
        raise ConfigError(what, name, f"takes no such options: {exc}") from None


def _suggest(trial: optuna.trial.Trial, name: str, one: Choice | Range) -> Param:
    chosen: Param
    if isinstance(one, Choice):
        chosen = trial.suggest_categorical(name, list(one.values))
    elif one.is_whole:
        step = 1 if one.step is None else int(one.step)
        chosen = trial.suggest_int(name, int(one.low), int(one.high), step=step, log=one.log)
    else:
        chosen = trial.suggest_float(name, one.low, one.high, step=one.step, log=one.log)
    return chosen
