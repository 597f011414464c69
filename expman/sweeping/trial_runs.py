"""The run of a trial, found by its tags, and what it has of the sweep's metric."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

from expman.errors import ConfigError, ExpmanError
from expman.models import RunStatus
from expman.reading.find import runs
from expman.reading.run import Run
from expman.storage.run_edits import Edit, ask
from expman.sweeping.config import SweepConfig

__all__ = ["TrialRun", "tags_of"]


def tags_of(config: SweepConfig, number: int) -> tuple[str, str]:
    """Returns the tags that a trial's run has, whatever else the program gives it."""
    return f"sweep:{config.name}", f"trial:{number}"


class TrialRun:
    """The run of one trial, as far as it has begun.

    Args:
        base_dir: directory that holds all experiments.
        config: what the sweep is.
        number: of the trial.
        since: seconds since the epoch: runs that began earlier are of an earlier try.
    """

    def __init__(self, base_dir: str, config: SweepConfig, number: int, since: float) -> None:
        self._base_dir = base_dir
        self._config = config
        self._tags = tags_of(config, number)
        self._since = since
        self._run: Run | None = None
        self._rows = 0

    @property
    def run(self) -> Run | None:
        """The run; None if there is none yet."""
        if self._run is None:
            with contextlib.suppress(ExpmanError):
                found = runs(self._base_dir, self._config.experiment, tags=self._tags)
                self._run = next((run for run in found if self._is_new(run)), None)
        return self._run

    def _is_new(self, run: Run) -> bool:
        began = run.started_at
        return began is not None and began.timestamp() >= self._since - 1.0

    @property
    def status(self) -> RunStatus | None:
        """The run's status; None if it cannot be read."""
        with contextlib.suppress(ExpmanError):
            return None if self.run is None else self.run.status
        return None

    @property
    def is_pruned(self) -> bool:
        """Whether the run was ended early."""
        with contextlib.suppress(ExpmanError):
            return self.run is not None and self.run.metadata.pruned is not None
        return False

    def prune(self) -> None:
        """Tells the run's writer that the sweep ends it early, so that it does not crash."""
        if self.run is not None:
            reason = f"pruned by the sweep {self._config.name} ({self._config.pruner})"
            with contextlib.suppress(ExpmanError):
                ask(self.run.path, Edit(pruned=reason))

    @property
    def result(self) -> float | None:
        """The number that counts; None if there is none."""
        metric = self._config.metric
        if metric is None or self.run is None:
            return None
        with contextlib.suppress(ExpmanError):
            value = getattr(self.run.best_numbers([metric]).get(metric), self._config.value, None)
            return None if value is None else float(value)
        return None

    def new_values(self) -> Iterator[tuple[int, float]]:
        """Yields step and value of each row since the last call, from the files and the tail."""
        metric = self._config.metric
        if metric is None or self.run is None:
            return
        try:
            table = self.run.vectors(["step", metric])
        except (ExpmanError, ConfigError):
            return  # nothing was logged yet
        fresh = table.slice(self._rows)
        self._rows = table.num_rows
        for row in fresh.to_pylist():
            value = row[metric]
            is_number = isinstance(value, int | float) and not math.isnan(value)
            if row["step"] is not None and is_number:
                yield row["step"], float(value)
