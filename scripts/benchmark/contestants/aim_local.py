"""aim, storing into its local repository."""

from __future__ import annotations

import os
from collections.abc import Mapping


class _Run:
    def __init__(self, directory: str) -> None:
        import aim

        os.makedirs(directory, exist_ok=True)
        self._run = aim.Run(repo=directory, experiment="bench", log_system_params=False)
        track = self._run.track

        def log(values: Mapping[str, float], step: int) -> None:
            track(values, step=step)

        self.log = log

    def close(self) -> None:
        self._run.close()


def open_run(directory: str, variant: str) -> _Run:
    """Opens a run in a repository of its own."""
    return _Run(directory)


def _repo(directory: str) -> object:
    import aim

    return aim.Repo(directory)


def count_rows(directory: str, variant: str) -> int:
    """Counts the values of the first metric, as aim's own reader sees them."""
    repo = _repo(directory)
    for run in repo.iter_runs():  # type: ignore[attr-defined]
        for metric in run.metrics():
            if metric.name == "metric_0":
                return len(metric.data.indices_list())
    return 0


def read_status(directory: str, variant: str) -> str:
    """Says whether aim takes the run for an active one."""
    for run in _repo(directory).iter_runs():  # type: ignore[attr-defined]
        return "active" if run.active else "ended"
    return "none"
