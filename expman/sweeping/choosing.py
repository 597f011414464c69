"""Who says which trial comes next: the sweep's file alone, or Optuna."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from expman.sweeping.search import Param, count_trials, params_of
from expman.sweeping.trials import Sweep, Trial

__all__ = ["Chooser", "PlainChooser"]


class Chooser(Protocol):
    """Chooses trials, and learns how they went."""

    def next(self) -> tuple[int, dict[str, Param]] | None:
        """Returns number and parameters of the next trial; None if there is none."""

    def report(self, number: int, values: Iterable[tuple[int, float]]) -> bool:
        """Takes steps and values of a live trial; returns whether it is to be ended early."""

    def tell(self, trial: Trial) -> None:
        """Takes a trial that has ended."""

    def lose(self, trial: Trial) -> bool:
        """Takes a trial whose process is gone without an end; whether it has another number now."""


class PlainChooser:
    """The trials of a grid, or by chance: each number has its parameters.

    Args:
        sweep: the sweep.
        known: the trials of an earlier call.
        retry_failed: whether those that failed are run again.
        only: a single number; None for all.
    """

    def __init__(
        self,
        sweep: Sweep,
        known: Iterable[Trial],
        *,
        retry_failed: bool = False,
        only: int | None = None,
    ) -> None:
        self._config = sweep.config
        done = {
            trial.number
            for trial in known
            if trial.has_ended and not (retry_failed and trial.status == "FAILED")
        }
        busy = {trial.number for trial in known if sweep.lives(trial)}
        numbers = range(count_trials(sweep.config)) if only is None else [only]
        self._left = iter([number for number in numbers if number not in done | busy])

    def next(self) -> tuple[int, dict[str, Param]] | None:
        """Returns number and parameters of the next trial; None if there is none."""
        number = next(self._left, None)
        return None if number is None else (number, params_of(self._config, number))

    def report(self, number: int, values: Iterable[tuple[int, float]]) -> bool:
        """Ends no trial early."""
        return False

    def tell(self, trial: Trial) -> None:
        """Learns nothing."""

    def lose(self, trial: Trial) -> bool:
        """A lost trial is run again under its number."""
        return False
