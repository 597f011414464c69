"""A handler for the standard library's `logging`: its records become lines of run.log."""

from __future__ import annotations

import logging
import threading

from expman.engine import LoggingEngine
from expman.errors import ExpmanError
from expman.experiment import Experiment
from expman.integrations.own_run import engine_of
from expman.models import LogLevel

__all__ = ["RunLogHandler"]

_OURS = "expman"


class RunLogHandler(logging.Handler):
    """Adds each record of `logging` to run.log.

        logging.getLogger().addHandler(RunLogHandler())

    DEBUG and INFO become INFO, WARNING becomes WARN, ERROR and CRITICAL become ERROR. The name of
    the logger comes first, unless the handler has a formatter. A traceback is kept. Records of
    expman itself are left out, and so is everything while there is no run.

    Args:
        run: the run; None: the current run of `expman.init()` at each record.
        level: records below it are left out.

    Durability: a record is published when the logging call returns.
    """

    def __init__(
        self, run: Experiment | LoggingEngine | None = None, level: int | str = logging.NOTSET
    ) -> None:
        super().__init__(level)
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        self._run = run
        self._here = threading.local()

    def createLock(self) -> None:  # noqa: N802 - the name of logging
        """Makes no lock: publishing needs none, and a signal handler may log meanwhile."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Adds the record; it never raises."""
        engine = engine_of(self._run)
        is_ours = record.name == _OURS or record.name.startswith(_OURS + ".")
        if engine is None or is_ours or getattr(self._here, "is_busy", False):
            return
        self._here.is_busy = True
        try:
            engine.log_message(_level(record.levelno), self.format(record))
        except ExpmanError:  # the run has ended
            pass
        except Exception:  # noqa: BLE001 - logging's own rule: what fails here goes to handleError
            self.handleError(record)
        finally:
            self._here.is_busy = False


def _level(number: int) -> LogLevel:
    if number >= logging.ERROR:
        return LogLevel.ERROR
    return LogLevel.WARN if number >= logging.WARNING else LogLevel.INFO
