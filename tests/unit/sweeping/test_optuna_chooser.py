"""Trials that Optuna chooses: counted, reported, told, lost, and taken up again."""

from __future__ import annotations

from pathlib import Path

import pytest

from expman.errors import ConfigError
from expman.sweeping.config import Choice, Range, SweepConfig
from expman.sweeping.trials import Sweep, Trial

pytest.importorskip("optuna")

from expman.sweeping.optuna_chooser import OptunaChooser


def config(**changes: object) -> SweepConfig:
    given: dict[str, object] = {
        "name": "s",
        "method": "tpe",
        "trials": 4,
        "metric": "loss",
        "params": {
            "lr": Range(1e-5, 1e-1, log=True),
            "n": Range(1, 8),
            "p": Range(0.0, 1.0, step=0.25),
            "act": Choice(("relu", "gelu")),
        },
    }
    return SweepConfig(**{**given, **changes})  # type: ignore[arg-type]


def trial(number: int, status: str = "RUNNING", result: float | None = None) -> Trial:
    return Trial(number=number, params={}, status=status, result=result)


def test_it_chooses_as_many_as_the_sweep_has(tmp_path: Path) -> None:
    """Within the ranges; a second call goes on with those that are left."""
    sweep = Sweep(str(tmp_path), config())
    chooser = OptunaChooser(sweep, [])
    number, params = chooser.next() or (None, {})
    assert 0 == number
    assert 1e-5 <= params["lr"] <= 0.1  # type: ignore[operator]
    assert params["n"] in range(1, 9)
    assert params["p"] in (0.0, 0.25, 0.5, 0.75, 1.0)
    assert params["act"] in ("relu", "gelu")
    chooser.tell(trial(0, "FINISHED", 1.0))
    again = OptunaChooser(sweep, [trial(0, "FINISHED", 1.0)])
    assert [1, 2, 3] == [found[0] for _ in range(3) if (found := again.next())]
    assert again.next() is None


def test_a_trial_that_was_lost_is_chosen_once_more(tmp_path: Path) -> None:
    """With the same parameters, under another number; one that nobody knows is given up."""
    sweep = Sweep(str(tmp_path), config(trials=2))
    first = OptunaChooser(sweep, [])
    _, params = first.next() or (None, {})
    first.next()  # killed before it was noted
    lost = Trial(number=0, params=params)
    again = OptunaChooser(sweep, [lost])
    assert again.lose(lost)
    assert (2, params) == again.next()
    assert 3 == (again.next() or (0,))[0]
    assert again.next() is None


def test_a_trial_that_is_far_behind_is_to_be_ended(tmp_path: Path) -> None:
    """By what it has reported, also to a call before this one; NaN does not count."""
    options = {"n_startup_trials": 1, "n_warmup_steps": 0}
    sweep = Sweep(str(tmp_path), config(pruner="median", pruner_options=options))
    chooser = OptunaChooser(sweep, [])
    chooser.next()
    chooser.next()
    assert not chooser.report(0, [(0, 1.0), (1, 0.5)])
    chooser.tell(trial(0, "FINISHED", 0.5))
    again = OptunaChooser(sweep, [trial(0, "FINISHED", 0.5), trial(1)])
    assert not again.report(1, [(0, float("nan"))])
    assert again.report(1, [(0, 9.0), (1, 9.0)])
    again.tell(trial(1, "PRUNED"))


def test_what_optuna_does_not_have_is_refused(tmp_path: Path) -> None:
    """Its names are listed."""
    with pytest.raises(ConfigError, match="tpe"):
        OptunaChooser(Sweep(str(tmp_path), config(method="magic")), [])
    with pytest.raises(ConfigError, match="median"):
        OptunaChooser(Sweep(str(tmp_path), config(name="t", pruner="scissors")), [])
    with pytest.raises(ConfigError, match="options"):
        OptunaChooser(Sweep(str(tmp_path), config(name="u", sampler_options={"color": 1})), [])
