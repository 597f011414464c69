"""Hydra: a callback that makes each job a run, with its configuration.

hydra:
callbacks:
expman:
_target_: expman.integrations.hydra.HydraCallback
"""

from __future__ import annotations

from typing import Any

from expman import current_run
from expman.integrations.own_run import OwnRun, needs

with needs("hydra", "hydra-core"):
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.utils import JobStatus
    from hydra.experimental.callback import Callback
    from omegaconf import OmegaConf

__all__ = ["HydraCallback"]


class HydraCallback(Callback):
    """Begins a run for each job and makes it the current one: the task calls `expman.log(…)`.

    The run has the job's configuration as parameters and its overrides as text. Jobs of a
    multirun have one group. The run ends as FAILED if the job raises.

    Args:
        experiment: the experiment's name; None: that of the job.
        settings: arguments of `expman.Experiment`.
    """

    def __init__(self, experiment: str | None = None, **settings: Any) -> None:
        self._experiment = experiment
        self._settings = settings
        self._run: OwnRun | None = None

    def on_job_start(self, config: Any, **others: Any) -> None:
        """Begins the run."""
        hydra = HydraConfig.get()
        settings = dict(self._settings)
        if hydra.mode is not None and hydra.mode.name == "MULTIRUN":
            settings.setdefault("group", str(hydra.sweep.dir))
        self._run = OwnRun(self._experiment or hydra.job.name, None, settings)
        self._run.begin()
        if self._run.own is not None:
            current_run.set_current(self._run.own)
        keys = [key for key in config if key != "hydra"]
        self._run.log_params(OmegaConf.masked_copy(config, keys))
        if hydra.overrides.task:
            self._run.log_scalar("overrides", " ".join(hydra.overrides.task))

    def on_job_end(self, config: Any, job_return: Any, **others: Any) -> None:
        """Ends the run."""
        if self._run is None:
            return
        error = None
        if job_return.status is JobStatus.FAILED:
            error = job_return._return_value
        if self._run.own is not None and current_run.current() is self._run.own:
            current_run.end_current()
        self._run.end(error)
        self._run = None
