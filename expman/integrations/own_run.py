"""The run that an integration logs to: one it was given, the current one, or one of its own."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from expman import current_run, notices
from expman.engine import LoggingEngine
from expman.errors import ExpmanError
from expman.experiment import Experiment
from expman.fixed_columns import reserved
from expman.models import LogLevel, RunStatus, reason_of

__all__ = ["OwnRun", "as_name", "engine_of", "needs"]


@contextlib.contextmanager
def needs(framework: str, package: str | None = None, module: str | None = None) -> Iterator[None]:
    """Around the import of a framework: says what to install where it is not there.

    Args:
        framework: the name by which it is imported.
        package: what pip installs; the same name if left out.
        module: the integration; that of the framework's name if left out.

    Raises:
        ModuleNotFoundError: it is not there.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] not in {framework, *_ALSO}:
            raise
        raise ModuleNotFoundError(
            f"expman.integrations.{module or framework} needs {framework}: pip install "
            f"{package or framework}",
            name=exc.name,
        ) from exc


_TAKEN = reserved()
_ALSO = ("lightning_fabric", "pytorch_lightning")


def engine_of(run: Experiment | LoggingEngine | None) -> LoggingEngine | None:
    """The engine of a run that was given, or else of the current run; None if that has ended."""
    if run is not None:
        return run.engine if isinstance(run, Experiment) else run
    found = current_run.current()
    return None if found is None or found.engine.has_ended else found.engine


class OwnRun:
    """Begins a run when a framework begins to train, and ends it if it has begun it.

    Nothing here raises after `begin`: a framework's training goes on whatever happens to the
    record of it.

    Args:
        name: experiment of a run of its own.
        run: the run to log to; None: the current run of `expman.init()`, else one of its own.
        settings: arguments of Experiment for a run of its own.
        joins: log to the current run if there is one. A framework that makes several runs at a
            time does not.
    """

    def __init__(
        self,
        name: str,
        run: Experiment | LoggingEngine | None,
        settings: Mapping[str, Any],
        *,
        joins: bool = True,
    ) -> None:
        self._name = name
        self._joins = joins
        self._given = run
        self._settings = dict(settings)
        self._own: Experiment | None = None
        self._engine: LoggingEngine | None = None
        self._left_out: set[str] = set()
        self._is_training = False
        self._lock = threading.Lock()  # Optuna calls from several threads

    @property
    def engine(self) -> LoggingEngine | None:
        """The run, between `begin` and `end`."""
        return self._engine

    @property
    def own(self) -> Experiment | None:
        """The run, if it is one of its own."""
        return self._own

    def begin(self, run_name: str | None = None, from_step: int | None = None) -> LoggingEngine:
        """Finds or begins the run; called again, it returns the same one.

        Args:
            run_name: of a run of its own, where the settings have none. A run of that name that
                exists already does no harm: the new one gets a suffix, or goes on with it if
                `resume` says so.
            from_step: the first step that will be logged, where the settings have none.

        Raises:
            ExpmanError: a run of its own cannot be begun.
        """
        with self._lock:
            return self._engine or self._begin(run_name, from_step)

    def _begin(self, run_name: str | None, from_step: int | None) -> LoggingEngine:
        if self._joins or self._given is not None:
            self._engine = engine_of(self._given)
        if self._engine is None:
            settings = self._settings
            if run_name and "run_name" not in settings:
                settings = {"suffix_if_taken": True, **settings, "run_name": as_name(run_name)}
            if from_step is not None and not os.environ.get("EXPMAN_FROM_STEP"):
                settings = {"from_step": from_step, **settings}
            self._own = Experiment(self._name, **settings)
            self._settings = {"suffix_if_taken": True, **self._settings}  # for the next training
            self._engine = self._own.engine
        return self._engine

    def begin_training(
        self, run_name: str | None = None, from_step: int | None = None
    ) -> LoggingEngine:
        """Begins the next run, where a framework says when a training begins and when it ends.

        A training before that never came to its end has raised: its run ends as FAILED.

        Raises:
            ExpmanError: as `begin` does.
        """
        self.end("the training ended early: another one has begun" if self._is_training else None)
        engine = self.begin(run_name, from_step)
        self._is_training = True
        return engine

    def end_training(self) -> None:
        """Notes that a training came to its end. The run stays open."""
        self._is_training = False

    def log_params(self, params: object) -> None:
        """Records parameters, as far as they can be recorded."""
        self.attempt(LoggingEngine.log_params, params)

    def log(
        self,
        values: Mapping[str, object],
        step: int | None = None,
        logged_at_ns: int | None = None,
    ) -> None:
        """Logs a row of the values that a row can hold; the others are named once in run.log.

        A name that a row has for itself, as `step`, gets a `_` behind it.

        Args:
            values: of the row.
            step: the framework's.
            logged_at_ns: nanoseconds since the Unix epoch; None: now.
        """
        row = {_column(key): value for key, value in values.items() if _fits(value)}
        others = [key for key in map(_column, values) if key not in row]
        others = [key for key in others if key not in self._left_out]
        if others:
            self._left_out.update(others)
            self.say(LogLevel.WARN, f"not numbers or text, left out: {', '.join(others)}")
        if row and logged_at_ns is not None:
            self.attempt(LoggingEngine.log_row_at, row, step, logged_at_ns)
        elif row:
            self.attempt(lambda engine: engine.log_vector(row, step))

    def log_scalar(self, key: str, value: object) -> None:
        """Sets a single value of the run."""
        self.attempt(LoggingEngine.log_scalar, key, value)

    def save_artifact(self, path: str, name: str | None = None) -> None:
        """Keeps a file or a directory."""
        self.attempt(LoggingEngine.save_artifact, path, name)

    def keep(self, name: str, write: Callable[[str], object]) -> None:
        """Keeps a file that `write(path)` makes, as a model's method of saving does."""

        def save(engine: LoggingEngine) -> None:
            with tempfile.TemporaryDirectory() as place:
                path = os.path.join(place, os.path.basename(name))
                write(path)
                engine.save_artifact(path, name)

        self.attempt(save)

    def note_file(self, path: str, name: str, *, keep: bool) -> None:
        """Keeps a file or directory as an artifact, or only adds its path to run.log."""
        if keep:
            self.save_artifact(path, name)
        else:
            self.say(LogLevel.INFO, f"{name}: {os.path.abspath(path)}")

    def say(self, level: LogLevel, text: str) -> None:
        """Adds a line to run.log."""
        self.attempt(LoggingEngine.log_message, level, text)

    def attempt(self, call: Callable[..., object], *arguments: Any, **options: Any) -> None:
        """Calls something with the run, and arguments; what it raises becomes a warning, once."""
        engine = self._engine
        if engine is None:
            return
        try:
            call(engine, *arguments, **options)
        except (ExpmanError, TypeError, ValueError, OSError) as exc:
            text = f"{type(exc).__name__}: {exc}"
            if text not in self._left_out:
                self._left_out.add(text)
                notices.warn(f"expman: {text}")

    def end(self, error: BaseException | str | None = None) -> None:
        """Ends a run of its own, as FAILED if there is an error; lets go of any other."""
        own, self._own, self._engine = self._own, None, None
        self._is_training = False
        if own is None:
            return
        reason = reason_of(error) if isinstance(error, BaseException) else error
        status = RunStatus.FINISHED if error is None else RunStatus.FAILED
        try:
            own.close(status, reason)
        except ExpmanError as exc:
            notices.warn(f"expman: {exc}")

    def for_another_process(self) -> OwnRun:
        """The same, with the run that is current here as one that was given."""
        engine = engine_of(self._given) if self._joins else None
        return OwnRun(self._name, self._given or engine, self._settings, joins=self._joins)

    def __getstate__(self) -> dict[str, object]:
        """In another process, a run of this one's own is one that was given."""
        state = {**self.__dict__, "_given": self._given or self._own, "_own": None, "_engine": None}
        state["_is_training"] = False
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def _fits(value: object) -> bool:
    if isinstance(value, int | float | str):
        return True
    return hasattr(value, "item") and getattr(value, "ndim", None) == 0


def _column(key: object) -> str:
    name = str(key)
    return f"{name}_" if not name or name in _TAKEN else name


def as_name(text: str) -> str:
    """The last part of a path, or a text, as a directory name."""
    name = (os.path.basename(os.path.normpath(text)) or text).lstrip(".") or "run"
    return "".join(char if char.isprintable() and char != "/" else "_" for char in name)[:200]
