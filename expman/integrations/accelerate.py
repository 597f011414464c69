"""Accelerate: `Accelerator(log_with="expman")` once this module is imported, or ExpmanTracker."""

from __future__ import annotations

from typing import Any

from expman.engine import LoggingEngine
from expman.experiment import Experiment
from expman.integrations.own_run import OwnRun, needs

with needs("accelerate"):
    from accelerate import tracking
    from accelerate.tracking import GeneralTracker

__all__ = ["ExpmanTracker"]


class ExpmanTracker(GeneralTracker):
    """Records what `Accelerator.init_trackers`, `.log` and `.end_training` give it.

    Only the main process records.

    Args:
        run_name: the project's name: the experiment of a run of its own.
        run: the run to log to; None: the current run of `expman.init()`, else one of its own.
        settings: arguments of `expman.Experiment`, for a run of its own, through
            `init_trackers(…, init_kwargs={"expman": {…}})`. `run_name` among them names the run.
    """

    name = "expman"
    requires_logging_directory = False
    main_process_only = True

    def __init__(
        self,
        project_name: str = "accelerate",
        run: Experiment | LoggingEngine | None = None,
        **settings: Any,
    ) -> None:
        self._run = OwnRun(project_name, run, settings)
        super().__init__()

    def start(self) -> None:
        """Begins the run."""
        self._run.begin()

    @property
    def tracker(self) -> LoggingEngine | None:
        """The run."""
        return self._run.engine

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Records parameters."""
        self._run.begin()
        self._run.log_params(values)

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        """Logs a row."""
        self._run.begin()
        self._run.log(values, step)

    def log_images(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        """Logs pictures: arrays of shape (number, height, width, channels) by name."""
        self._run.begin()
        for name, images in values.items():
            self._run.attempt(LoggingEngine.log_images, name, images, step)

    def finish(self) -> None:
        """Ends a run of its own."""
        self._run.end()


if hasattr(tracking, "register_tracker_class") and "expman" not in tracking.LOGGER_TYPE_TO_CLASS:
    tracking.register_tracker_class(ExpmanTracker)
