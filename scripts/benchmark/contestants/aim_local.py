"""aim, storing into its local repository."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


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


def _meta(directory: str) -> dict[str, Any]:
    """Reads what aim keeps about the run; its own listing shows runs once they are indexed."""
    import aim

    repo = aim.Repo(directory)
    (name,) = repo.list_all_runs()
    tree = repo.request_tree("meta", name, read_only=True).collect()
    found: dict[str, Any] = tree["meta"]["chunks"][name]
    return found


def count_rows(directory: str, variant: str) -> int:
    """Tells how many rows there are by the last step of the first metric."""
    traces = _meta(directory).get("traces", {}).values()
    return max((t["metric_0"]["last_step"] + 1 for t in traces if "metric_0" in t), default=0)


def read_status(directory: str, variant: str) -> str:
    """Says whether there is an end time."""
    return "ended" if _meta(directory).get("end_time") else "none"
