"""The run of a SummaryWriter: where it is, what begins and ends it, and what a call assumes."""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any, cast

from expman import current_run, notices
from expman.engine import LoggingEngine
from expman.experiment import Experiment
from expman.integrations.tensors import step_of
from expman.media_sending import measured_at
from expman.models import LogLevel
from expman.storage.paths import RUN_YAML
from expman.transport.values import LEAST_TIME_NS

__all__ = ["WriterRun"]


class WriterRun:
    """The run that a SummaryWriter logs to: the current one, or one of its own.

    Args:
        place: the run's directory; None: the current run, else a new one below `runs/`.
        comment: put behind the name of a run that has no `place`.
        settings: what else Experiment takes.
        write_to_disk: False: nothing is recorded.
        purge_step: a run at `place` goes on at this step; its later rows are superseded.

    Raises:
        ExpmanError: the run cannot be begun.
    """

    def __init__(
        self,
        place: str | os.PathLike[str] | None,
        comment: str,
        settings: Mapping[str, Any],
        *,
        write_to_disk: bool,
        purge_step: int | None,
    ) -> None:
        self._noted: set[str] = set()
        self._assumed: tuple[Any, float | None] = (None, None)
        self._own: Experiment | None = None
        self._settings = dict(settings)
        found = current_run.current() if place is None else None
        if not write_to_disk:
            self._open = cast("LoggingEngine", _Nowhere(os.fspath(place or "")))
        elif found is not None and not found.engine.has_ended:
            self._open = found.engine
        else:
            self._own = _begin(place, comment, settings, purge_step)
            self._open = self._own.engine

    @property
    def _engine(self) -> LoggingEngine:
        """The run; it goes on if this writer was closed before the call."""
        if self._own is not None and self._open.has_ended:
            rank = self._open.config.rank
            where = _named(self._open.run_dir.removesuffix(f"-rank{rank}" if rank else ""))
            self._own = Experiment(**{"quiet": True, **self._settings, **where, "resume": "allow"})
            self._open = self._own.engine
            notices.warn(
                f"expman: SummaryWriter was used after close(): run {self._open.run_dir} goes on"
            )
        return self._open

    def _step(self, step: Any) -> int | None:
        return step_of(self._assumed[0] if step is None else step)

    def _time_ns(self, walltime: float | None) -> int | None:
        seconds = self._assumed[1] if walltime is None else walltime
        return None if seconds is None else max(int(seconds * 1e9), LEAST_TIME_NS)

    def _send(
        self,
        kind: str,
        tag: str,
        value: Any,
        global_step: Any,
        walltime: float | None,
        **options: Any,
    ) -> None:
        """Logs a medium or a histogram by the engine's method `log_KIND`, with that time."""
        with measured_at(self._time_ns(walltime)):
            getattr(self._engine, f"log_{kind}")(tag, value, self._step(global_step), **options)

    @contextlib.contextmanager
    def use_metadata(
        self, *, global_step: int | None = None, walltime: float | None = None
    ) -> Iterator[None]:
        """Calls in this block that give no step or no time have these."""
        before, self._assumed = self._assumed, (global_step, walltime)
        try:
            yield
        finally:
            self._assumed = before

    def _note(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._engine.log_message(LogLevel.INFO, text)

    file_writer = None
    """There is no event file."""

    def get_logdir(self) -> str:
        """The run's directory."""
        return self._open.run_dir

    @property
    def log_dir(self) -> str:
        """The run's directory."""
        return self._open.run_dir

    logdir = log_dir

    def flush(self) -> None:
        """Waits until everything is durable.

        Raises:
            FlushError: it is not.
        """
        if not self._open.has_ended:
            self._open.flush()

    def close(self) -> None:
        """Ends a run of its own. Twice is fine."""
        if self._own is not None:
            self._own.close()


class _Nowhere:
    """Takes every call of an engine and records nothing."""

    has_ended = False

    def __init__(self, run_dir: str) -> None:
        self.run_dir = run_dir

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def _begin(
    place: str | os.PathLike[str] | None,
    comment: str,
    settings: Mapping[str, Any],
    purge_step: int | None,
) -> Experiment:
    given: dict[str, Any] = {"suffix_if_taken": True, "quiet": True}
    if place is None:
        moment = datetime.datetime.now().strftime("%b%d_%H-%M-%S")
        given |= {"name": "runs", "run_name": f"{moment}_{socket.gethostname()}{comment}"}
        if "EXPMAN_BASE_DIR" not in os.environ:
            given["base_dir"] = "."
    else:
        with contextlib.suppress(OSError):  # an empty one that waits for the run
            os.rmdir(place)
        given |= _named(place)
        if purge_step is not None and os.path.exists(os.path.join(place, RUN_YAML)):
            given |= {"suffix_if_taken": None, "resume": "allow", "from_step": int(purge_step)}
    return Experiment(**{**given, **settings})


def _named(place: str | os.PathLike[str]) -> dict[str, Any]:
    """Names for a run in a directory."""
    home, run_name = os.path.split(os.path.abspath(os.fspath(place)))
    base_dir, name = os.path.split(home)
    return {"name": name or "runs", "run_name": run_name, "base_dir": base_dir}
