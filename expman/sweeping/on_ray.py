"""Gives the trials of a sweep to Ray Tune, which decides where and when each runs.

Which trials there are, and what has become of them, is in the sweep's directory, as ever. A trial's
process is started by an actor, and ends with it at the latest. So a trial whose actor Ray has given
up is run again, by Ray or by the next call, and never beside itself.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from expman.sweeping.choosing import Chooser, PlainChooser
from expman.sweeping.config import SweepConfig
from expman.sweeping.running import Runner
from expman.sweeping.search import Param
from expman.sweeping.trials import Sweep, Trial

__all__ = ["begin_ray", "run_on_ray", "still_lives"]

_STEP_S = 1.0
_POLL_S = 0.1
TRIES = 4
"""How often a trial is begun whose actor is lost."""
_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # trials run where the sweep does
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # their runs have all that they would write
    "TUNE_RESULT_BUFFER_LENGTH": "0",
}


def begin_ray() -> None:
    """Joins a cluster, or begins one of this machine, unless that was done."""
    os.environ.update({**_SETTINGS, **os.environ})
    for name in ("ray", "ray.tune"):  # they repeat at length what the sweep prints
        logging.getLogger(name).setLevel(logging.ERROR)
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR)


class _Given:
    """Chooses one trial at most, which another process has chosen; all else is the judge's."""

    def __init__(self, judge: Chooser, chosen: tuple[int, dict[str, Param]] | None) -> None:
        self._chosen = chosen
        self.report, self.tell, self.lose = judge.report, judge.tell, judge.lose

    def next(self) -> tuple[int, dict[str, Param]] | None:
        """Returns the trial, once."""
        chosen, self._chosen = self._chosen, None
        return chosen


def _judge(sweep: Sweep) -> Chooser:
    """Takes rows and ends of trials in an actor; with Optuna, its storage has them for all."""
    if not sweep.config.uses_optuna:
        return PlainChooser(sweep, [])
    from expman.sweeping.optuna_chooser import OptunaChooser

    return OptunaChooser(sweep, [], most=0)


class _TrialProcess(tune.Trainable):
    """The actor of one trial."""

    def setup(self, config: dict[str, Any]) -> None:
        """Starts the trial's process, unless it has ended or lives."""
        what = config["sweep"]
        os.chdir(what["directory"])
        os.environ.update(what["environment"])
        sweep, number = Sweep(what["base_dir"], what["config"]), config["number"]
        given = _Given(_judge(sweep), (number, config["params"]))
        self._sweep, self._number = sweep, number
        self._runner = Runner(sweep, what["command"], given, dies_with_us=True)
        known = sweep.read().get(number)
        if known is not None:
            # Of a lost actor, whose process went with it, unless the sweep was not on Ray then.
            given.lose = lambda trial: False
            self._runner.adopt([known], sweep.lives_here)
            if known.has_ended or self._runner.has_begun:
                given.next()

    def step(self) -> dict[str, Any]:
        """Watches the process for a second."""
        until = time.monotonic() + _STEP_S
        while goes_on := self._runner.advance():
            if time.monotonic() > until:
                break
            time.sleep(_POLL_S)
        trial = self._sweep.read()[self._number]
        return {"done": not goes_on, "number": self._number, "result": trial.result}

    def cleanup(self) -> None:
        """Ends the process if it runs."""
        self._runner.stop()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """A trial has no state of its own here."""

    def load_checkpoint(self, checkpoint: object) -> None:
        """See `save_checkpoint`."""


class _Trials(Searcher):
    """Hands the sweep's trials to Tune one by one, and their outcomes to the sweep."""

    def __init__(
        self,
        sweep: Sweep,
        chooser: Chooser,
        what: Mapping[str, Any],
        on_end: Callable[[Trial, int], None],
    ) -> None:
        super().__init__()
        self._sweep = sweep
        self._chooser = chooser
        self._what = what
        self._on_end = on_end
        self._numbers: dict[str, int] = {}
        self.ended: list[Trial] = []

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """Returns the configuration of the next trial's actor."""
        chosen = self._chooser.next()
        if chosen is None:
            return str(Searcher.FINISHED)
        self._numbers[trial_id], params = chosen
        return {"number": chosen[0], "params": params, "sweep": self._what}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Reports what the actor has noted in the sweep's directory."""
        number = self._numbers.pop(trial_id)
        trial = self._sweep.read().get(number)
        if trial is not None and trial.has_ended:
            self.ended.append(trial)
            self._on_end(trial, len(self._numbers))

    def set_search_properties(self, *arguments: Any, **options: Any) -> bool:
        """Ignored: the sweep file has all settings."""
        return True

    def save(self, checkpoint_path: str) -> None:
        """The sweep's directory has everything."""
        Path(checkpoint_path).write_text(json.dumps({}))

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""


def still_lives(sweep: Sweep, trial: Trial) -> bool:
    """Whether a trial's process is there; its node is asked, if that is in the cluster."""
    if trial.has_ended or trial.host == os.uname().nodename:
        return sweep.lives(trial)
    for node in ray.nodes():
        if node["Alive"] and node["NodeManagerHostname"] == trial.host:
            strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ask = ray.remote(num_cpus=0, scheduling_strategy=strategy)(_lives)
            return bool(ray.get(ask.remote(sweep.base_dir, sweep.config, trial)))
    return False


def _lives(base_dir: str, config: SweepConfig, trial: Trial) -> bool:
    return Sweep(base_dir, config).lives(trial)


def run_on_ray(
    sweep: Sweep,
    command: Sequence[str],
    chooser: Chooser,
    known: Sequence[Trial],
    *,
    at_once: int | None = None,
    resources: Mapping[str, float] | None = None,
    on_end: Callable[[Trial, int], None] = lambda trial, active: None,
) -> list[Trial]:
    """Runs trials with Ray Tune; returns those that have ended.

    Args:
        sweep: the sweep; its directory has the same path on every node.
        command: what a trial runs.
        chooser: says which trial is next.
        known: the trials of an earlier call.
        at_once: how many at the same time; None for as many as there is room for.
        resources: what a trial needs, such as {"cpu": 4, "gpu": 1}; None for one processor.
        on_end: is called with each trial that has ended.
    """
    what = {
        "base_dir": sweep.base_dir,
        "config": sweep.config,
        "command": list(command),
        "directory": os.getcwd(),
        # Ray has the variables of nodes; a trial has those of the sweep.
        "environment": {key: os.environ[key] for key in os.environ if key.startswith("EXPMAN_")},
    }
    trials = _Trials(sweep, chooser, what, on_end)
    name = sweep.config.name
    tuner = tune.Tuner(
        tune.with_resources(_TrialProcess, dict(resources or {"cpu": 1})),
        tune_config=tune.TuneConfig(
            search_alg=trials,
            num_samples=-1,
            max_concurrent_trials=at_once,
            trial_name_creator=lambda trial: f"{name}-{trial.config['number']:04d}",
            trial_dirname_creator=lambda trial: f"{trial.config['number']:06d}-{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=sweep.path,
            failure_config=tune.FailureConfig(max_failures=TRIES - 1),
            verbose=0,
        ),
    )
    rest = Runner(sweep, command, _Given(chooser, None), on_end=on_end)
    rest.adopt(known, functools.partial(still_lives, sweep))
    tuner.fit()
    rest.run()
    return [*trials.ended, *rest.ended]
