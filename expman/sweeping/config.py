"""The file that says what a sweep is: sweep.yaml."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from expman import checks
from expman.errors import ConfigError
from expman.storage.yamlfile import read_yaml
from expman.suggestions import did_you_mean

__all__ = ["Choice", "Range", "Space", "SweepConfig", "read_config"]

_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_RANGE_KEYS = {"min", "max", "log", "step"}
KINDS = ("min", "max", "last")


class Choice(msgspec.Struct, frozen=True):
    """A parameter that has one of several values.

    Attributes:
        values: numbers, texts or booleans.
    """

    values: tuple[int | float | str | bool, ...]


class Range(msgspec.Struct, frozen=True):
    """A number between two others, both included; a whole number if both of them are.

    Attributes:
        low: the least value.
        high: the greatest value.
        log: equal chances for equal ratios.
        step: distance of the values; None for any value, or 1 for whole numbers.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return all(isinstance(one, int) for one in (self.low, self.high, self.step or 1))

    @property
    def grid(self) -> list[int | float] | None:
        """All values, if they are so few that a grid can have them."""
        step = 1 if self.is_whole and self.step is None else self.step
        if self.log or step is None:
            return None
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return [self.low + number * step for number in range(count)]


Space = dict[str, Choice | Range]


class SweepConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep is.

    Attributes:
        name: the sweep's name, which is the group of its runs.
        method: `grid`, `random`, or an Optuna sampler: `tpe`, `cmaes`, `gp`, `qmc`, `nsgaii`.
        trials: how many; None for all of a grid.
        seed: of whatever is chosen by chance.
        metric: the metric that counts.
        goal: `minimize` or `maximize`.
        value: which number of the metric counts: `min`, `max` or `last`.
        pruner: an Optuna pruner: `median`, `hyperband`, `halving`, `percentile`; None for none.
        pruner_options: its arguments.
        sampler_options: arguments of the Optuna sampler.
        experiment: the experiment of its runs; None if the program says it.
        storage: of Optuna, a URL; None for a file of the sweep's.
        params: the parameters.
    """

    name: str
    method: str = "grid"
    trials: int | None = None
    seed: int = 0
    metric: str | None = None
    goal: str = "minimize"
    value: str = "min"
    pruner: str | None = None
    pruner_options: dict[str, Any] = {}
    sampler_options: dict[str, Any] = {}
    experiment: str | None = None
    storage: str | None = None
    params: Space = {}

    @property
    def uses_optuna(self) -> bool:
        """Whether Optuna chooses the parameters, or ends trials early."""
        return self.method not in ("grid", "random") or self.pruner is not None

    @property
    def digest(self) -> str:
        """Identifies what the trials are chosen from and by."""
        what = (self.method, self.seed, self.metric, self.goal, self.value, self.params)
        return hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:16]


_KEYS = {
    *("name", "method", "trials", "seed", "metric", "goal", "value", "pruner"),
    *("sampler", "experiment", "storage", "params"),
}


def read_config(path: str) -> SweepConfig:
    """Reads a sweep's file.

    Raises:
        StorageError: it cannot be read, or is not YAML.
        ConfigError: it says something that a sweep cannot be.
    """
    found = read_yaml(path, follow=True)
    unknown = [key for key in found if key not in _KEYS]
    if unknown:
        rule = f"is not a key of a sweep{did_you_mean(unknown, _KEYS)}"
        raise ConfigError(path, unknown[0], rule)
    name = found.get("name") or os.path.splitext(os.path.basename(path))[0]
    pruner, pruner_options = _named(path, "pruner", found.get("pruner"))
    method, sampler_options = _named(path, "sampler", found.get("sampler"))
    if method is not None and "method" in found:
        raise ConfigError(path, method, "give either `method` or `sampler`")
    method = method or str(found.get("method") or "grid")
    goal = str(found.get("goal") or "minimize")
    checks.check_choice(f"{path}: goal", goal, "minimize", "maximize")
    value = str(found.get("value") or ("min" if goal == "minimize" else "max"))
    checks.check_choice(f"{path}: value", value, *KINDS)
    config = SweepConfig(
        name=checks.check_new_name(f"{path}: name", name),
        method=method.lower(),
        trials=_count(path, "trials", found.get("trials")),
        seed=_count(path, "seed", found.get("seed"), least=0) or 0,
        metric=None if found.get("metric") is None else str(found["metric"]),
        goal=goal,
        value=value,
        pruner=None if pruner is None else pruner.lower(),
        pruner_options=pruner_options,
        sampler_options=sampler_options,
        experiment=None
        if found.get("experiment") is None
        else checks.check_new_name(f"{path}: experiment", found["experiment"]),
        storage=None if found.get("storage") is None else str(found["storage"]),
        params=_params(path, found.get("params")),
    )
    _check(path, config)
    return config


def _check(path: str, config: SweepConfig) -> None:
    if "," in config.name:
        raise ConfigError(path, config.name, "the name, which is in a tag, must not have a comma")
    if config.method != "grid" and config.trials is None:
        raise ConfigError(path, config.method, "needs `trials`, how many")
    if config.uses_optuna and config.metric is None:
        raise ConfigError(path, config.pruner or config.method, "needs `metric`, what to compare")
    if config.method == "grid":
        for name, one in config.params.items():
            if isinstance(one, Range) and one.grid is None:
                rule = f"params.{name} has infinitely many values: give `step`, or a list"
                raise ConfigError(path, name, rule)


def _named(path: str, key: str, found: object) -> tuple[str | None, dict[str, Any]]:
    """A name, or a mapping with a name and options."""
    match found:
        case None:
            return None, {}
        case str():
            return found, {}
        case {"name": str(name), **rest}:
            return name, {str(option): value for option, value in rest.items()}
    raise ConfigError(path, found, f"`{key}` must be a name, or a mapping with `name` and options")


def _count(path: str, key: str, found: object, least: int = 1) -> int | None:
    if found is None:
        return None
    if not isinstance(found, int) or isinstance(found, bool) or found < least:
        raise ConfigError(path, found, f"`{key}` must be a whole number, at least {least}")
    return found


def _params(path: str, found: object) -> Space:
    if not isinstance(found, Mapping) or not found:
        raise ConfigError(path, found, "`params` must be a mapping of names to values")
    space: Space = {}
    for name, given in found.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            rule = "a parameter's name has letters, digits, _, . and -, and begins with a letter"
            raise ConfigError(path, name, rule)
        space[name] = _param(path, name, given)
    lowered = [name.lower() for name in space]
    if len(set(lowered)) < len(lowered):
        raise ConfigError(path, sorted(space), "names of parameters may not differ by case only")
    return space


def _param(path: str, name: str, given: object) -> Choice | Range:
    if isinstance(given, Mapping) and "values" in given and len(given) == 1:
        given = given["values"]
    match given:
        case int() | float() | str():
            return Choice((given,))
        case list() if given and all(isinstance(one, int | float | str) for one in given):
            return Choice(tuple(given))
        case Mapping() if {"min", "max"} <= given.keys() <= _RANGE_KEYS:
            return _range(path, name, given)
    rule = f"params.{name} must be a value, a list, or {{min: …, max: …, log: …, step: …}}"
    raise ConfigError(path, given, rule)


def _range(path: str, name: str, given: Mapping[Any, Any]) -> Range:
    low, high, log, step = (given.get(key) for key in ("min", "max", "log", "step"))
    numbers = [one for one in (low, high, step) if one is not None]
    if not all(isinstance(one, int | float) and math.isfinite(one) for one in numbers):
        raise ConfigError(path, dict(given), f"params.{name}: min, max and step must be numbers")
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if low > high or (step is not None and step <= 0) or (log and (low <= 0 or step is not None)):
        rule = f"params.{name}: min must not be above max, step not below 0; with log, min above 0"
        raise ConfigError(path, dict(given), rule)
    return Range(low, high, bool(log), step)
