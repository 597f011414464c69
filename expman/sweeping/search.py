"""Which parameters a trial has: all of a grid, or by chance."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator

from expman.sweeping.config import Choice, Range, SweepConfig

__all__ = ["Param", "count_trials", "params_of"]

Param = int | float | str | bool


def count_trials(config: SweepConfig) -> int:
    """Returns how many trials a sweep has."""
    if config.method != "grid":
        return config.trials or 0
    size = math.prod(len(_values(one)) for one in config.params.values())
    return size if config.trials is None else min(size, config.trials)


def params_of(config: SweepConfig, number: int) -> dict[str, Param]:
    """Returns the parameters of a trial: always the same for the same number, and file."""
    if config.method == "grid":
        return dict(_at(config, number))
    dice = random.Random(f"{config.seed}:{number}")
    return {name: _drawn(one, dice) for name, one in config.params.items()}


def _at(config: SweepConfig, number: int) -> Iterator[tuple[str, Param]]:
    """The last parameter changes first, as in nested loops."""
    every = itertools.product(*(_values(one) for one in config.params.values()))
    chosen = next(itertools.islice(every, number, None))
    return zip(config.params, chosen, strict=True)


def _values(one: Choice | Range) -> tuple[Param, ...]:
    return one.values if isinstance(one, Choice) else tuple(one.grid or ())


def _drawn(one: Choice | Range, dice: random.Random) -> Param:
    if isinstance(one, Choice):
        return dice.choice(one.values)
    if one.grid is not None:
        return dice.choice(one.grid)
    if one.log:
        value = math.exp(dice.uniform(math.log(one.low), math.log(one.high)))
        value = min(max(value, one.low), one.high)
        return round(value) if one.is_whole else value
    return dice.uniform(one.low, one.high)
