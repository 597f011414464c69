"""structlog: a processor that adds each event to run.log."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from expman.engine import LoggingEngine
from expman.errors import ExpmanError
from expman.experiment import Experiment
from expman.integrations.own_run import engine_of
from expman.models import LogLevel

__all__ = ["RunLogProcessor"]

_LEVELS = {
    **dict.fromkeys(("warning", "warn"), LogLevel.WARN),
    **dict.fromkeys(("error", "critical", "exception", "fatal"), LogLevel.ERROR),
}


class RunLogProcessor:
    """Adds an event to run.log as `event key=value …`, and passes it on unchanged.

    It imports nothing of structlog, which takes any callable. Place it before the renderer. Where
    there is no run, or it has ended, it only passes events on.

    Args:
        run: the run; None: the current run of `expman.init()` at each event.

    Durability: an event is published when the logging call returns.
    """

    def __init__(self, run: Experiment | LoggingEngine | None = None) -> None:
        self._run = run

    def __call__(
        self, logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Takes an event."""
        engine = engine_of(self._run)
        if engine is not None:
            fields = " ".join(f"{key}={value!r}" for key, value in event.items() if key != "event")
            text = f"{event.get('event', '')} {fields}".strip()
            try:
                engine.log_message(_LEVELS.get(method, LogLevel.INFO), text)
            except ExpmanError:  # the run has ended
                pass
        return event
