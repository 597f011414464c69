"""A run, with the names that wandb's has."""

from __future__ import annotations

import atexit
import datetime
import os
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from expman import current_run
from expman.compat.wandb.artifacts import RunArtifacts, WandbArtifact
from expman.compat.wandb.described import DescribedRun, RunFacts
from expman.compat.wandb.errors import UsageError
from expman.compat.wandb.logged import sort_values
from expman.compat.wandb.run_config import RunConfig
from expman.compat.wandb.run_summary import LiveSummary, MetricDefinitions
from expman.compat.wandb.saving import SavedFiles
from expman.compat.wandb.watching import Watching
from expman.integrations.own_run import OwnRun
from expman.models import LogLevel

__all__ = ["WandbRun"]

_LEVELS = {"ERROR": LogLevel.ERROR, "WARN": LogLevel.WARN}
_ALERT_PAUSE_S = 60.0


class WandbRun(DescribedRun):
    """A run; its name in wandb is Run. `init` makes one.

    Nothing that goes wrong with the record reaches the program: what cannot be logged is left out,
    with a notice. A call's own mistake, as a step that is text, raises.

    Args:
        own: the run, begun; not begun if nothing is recorded.
        facts: what it was begun with.
    """

    def __init__(self, own: OwnRun, facts: RunFacts) -> None:
        self._own = own
        self._facts = facts
        self._told: dict[str, float] = {}
        self._at_end: list[Callable[[], object]] = []
        self.config = RunConfig(own.log_params)
        self.summary = LiveSummary(self._set_scalars)
        self._metrics = MetricDefinitions()
        self._watching = Watching(own.attempt, lambda: self._step)
        self._saved = SavedFiles(own)
        run_dir = facts.state.run_dir
        self._artifacts = RunArtifacts(own, run_dir and os.path.dirname(run_dir))
        atexit.register(self._saved.keep_again)  # before expman's own handler, which is older

    def __reduce__(self) -> tuple[object, ...]:
        """In another process it is the same run, whose rows that process logs, too."""
        items = self.config.as_dict(), self.summary.as_dict()
        return _joined, (self._own, self._facts, self._step, *items)

    def go_on(self, config: dict[str, Any], values: dict[str, Any]) -> None:
        """Takes over what earlier attempts have recorded, and goes on with their next step."""
        self.config._items.update(config)
        self.summary.note(values)
        self._step = self._facts.state.starting_step

    def _set_scalars(self, values: dict[str, Any]) -> None:
        for name, value in sort_values(values).row.items():
            self._own.log_scalar(name, value)

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told[text] = 0.0
            self._own.say(LogLevel.WARN, text)

    # -- what is logged -----------------------------------------------------------------

    def log(
        self,
        data: Mapping[str, Any] | None = None,
        step: int | None = None,
        commit: bool | None = None,
    ) -> None:
        """Logs values, each call as a row of its own; media go to `media/`.

        Args:
            data: values by name; `/` joins the names of nested ones. Without it, only the step
                counts.
            step: of the row; the run's current one if left out. One that is less than the current
                one is recorded, and leaves the current one and the summary as they are.
            commit: the next call has the next step; by default exactly if `step` is left out.

        Durability: published when it returns, whatever `commit` is.

        Raises:
            TypeError: it is not a mapping, or the step is not a number.
            UsageError: the run has ended.
        """
        data = {} if data is None else data
        if not isinstance(data, Mapping):
            raise TypeError(f"log() takes a mapping of values, not {type(data).__name__}")
        self._check_open("log")
        at = self._step if step is None else int(step)
        if at < self._step:
            self._tell_once(f"step {at} came after step {self._step}: rows keep the order of calls")
        found = sort_values(data)
        is_late, self._step = at < self._step, max(at, self._step)
        row = {**self._metrics.steps_of(found.row), **found.row}
        if row:
            self._own.log(row, at)
        for tag, medium in found.media:
            self._own.attempt(lambda engine, key=tag, one=medium: one.send(engine, key, at))
        for name in found.left_out:
            self._tell_once(f"{name} is nothing that can be logged, left out")
        if not is_late:
            self.summary.note(self._metrics.summary_of(row, self._own.log_scalar))
        if commit or (commit is None and step is None):
            self._step += 1

    def define_metric(
        self,
        name: str,
        step_metric: Any = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        goal: str | None = None,
        overwrite: bool | None = None,
    ) -> Any:
        """Says what a metric is drawn over, and what its summary is.

        Args:
            name: of the metric; with `*`, of several.
            step_metric: rows with the metric that lack this one get its last value.
            step_sync: False: they do not.
            hidden: not used.
            summary: min, max, mean, first, last, best or none; several are joined by commas. Each
                becomes a scalar `NAME/min`, …
            goal: "maximize" or "minimize", for best.
            overwrite: not used: the last definition counts.

        Raises:
            UsageError: there is no such summary.
        """
        over = self._metrics.define(name, step_metric, step_sync is not False, summary, goal)
        if over is not None:
            self._own.say(LogLevel.INFO, f"metric {name!r} is drawn over {over!r}")
        return _DefinedMetric(name)

    def watch(
        self,
        models: Any,
        criterion: Any = None,
        log: str | None = "gradients",
        log_freq: int = 1000,
        idx: int | None = None,
        log_graph: bool = False,
    ) -> None:
        """Logs histograms of a torch model's gradients, parameters or both.

        Args:
            models: one, or several.
            criterion: not used.
            log: "gradients", "parameters", "all" or None.
            log_freq: each such backward pass, or forward pass for parameters, is logged.
            idx: number of the first model.
            log_graph: keep the model's text, too.

        Raises:
            UsageError: see `Watching.watch`.
        """
        self._check_open("watch")
        if self._own.engine is not None:
            self._watching.watch(models, log, log_freq, idx, log_graph)

    def unwatch(self, models: Any = None) -> None:
        """Ends what `watch` began; for all models if there is none."""
        self._watching.unwatch(models)

    def alert(
        self, title: str, text: str = "", level: Any = None, wait_duration: Any = None
    ) -> None:
        """Adds a line to run.log; the same title again only after `wait_duration` seconds."""
        pause = wait_duration
        if isinstance(pause, datetime.timedelta):
            pause = pause.total_seconds()
        now = time.monotonic()
        if now - self._told.get(title, -1e9) < (_ALERT_PAUSE_S if pause is None else pause):
            return
        self._told[title] = now
        name = str(getattr(level, "value", level)).upper()
        self._own.say(_LEVELS.get(name, LogLevel.INFO), f"alert: {title}: {text}")

    # -- files --------------------------------------------------------------------------

    def save(
        self,
        glob_str: str | os.PathLike[str] | None = None,
        base_path: str | os.PathLike[str] | None = None,
        policy: str = "live",
        **_: object,
    ) -> list[str]:
        """Keeps files as artifacts: now, and once more at the end if they have changed.

        Args:
            glob_str: a path, or a pattern.
            base_path: names begin below it; below the pattern's folder if left out.
            policy: "now": only now; "end": only at the end.

        Raises:
            UsageError: there is no such policy.
        """
        if glob_str is None:  # the oldest use: everything is kept anyway
            return []
        return self._saved.save(
            glob_str, None if base_path is None else os.fspath(base_path), policy
        )

    def log_artifact(
        self,
        artifact_or_path: Any,
        name: str | None = None,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
    ) -> WandbArtifact:
        """Keeps an artifact, or a file or directory as one, in `artifacts/NAME/vN/`.

        Durability: published when it returns; `finish` waits for the copy.

        Raises:
            ValueError: there is no such file.
        """
        self._check_open("log_artifact")
        return self._artifacts.log(artifact_or_path, name, type, aliases)

    def log_model(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        aliases: Sequence[str] | None = None,
    ) -> None:
        """Keeps a model's file or directory as an artifact of the type "model"."""
        self.log_artifact(path, name, "model", aliases)

    def use_artifact(self, artifact_or_name: Any, type: str | None = None, **_: object) -> Any:
        """Finds an artifact of the project, by `NAME`, `NAME:vN` or `NAME:ALIAS`.

        Raises:
            CommError: there is none.
        """
        return self._artifacts.use(artifact_or_name)

    def log_code(self, *_: object, **__: object) -> None:
        """Does nothing: `provenance.yaml` has the commit and, with capture_diff, the changes."""

    def mark_preempting(self) -> None:
        """Adds a line to run.log."""
        self._own.say(LogLevel.WARN, "the program is going to be preempted")

    # -- the end ------------------------------------------------------------------------

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """Ends the run: as FAILED if there is an exit code that is not 0. Twice is fine.

        Durability: everything is durable when it returns, or a notice says what is not.
        """
        self._end(f"exit code {exit_code}" if exit_code else None)

    def _end(self, error: BaseException | str | None) -> None:
        self._saved.keep_again()
        self.unwatch()
        while self._at_end:
            self._at_end.pop()()
        atexit.unregister(self._saved.keep_again)
        if self._own.own is not None:
            current_run.leave(self._own.own)
        self._facts.state.is_finished = True
        self._own.end(error)

    join = finish

    def _check_open(self, call: str) -> None:
        if self.has_ended:
            raise UsageError(f"the run has ended: {call}() is too late; call wandb.init() again")

    def __enter__(self) -> WandbRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        is_fine = exc is None or (isinstance(exc, SystemExit) and exc.code in (None, 0))
        if not is_fine and exc is not None:
            self._own.attempt(lambda engine: engine._note_exception(exc))
        self._end(None if is_fine else exc)

    def __repr__(self) -> str:
        return f"<Run {self.path}>"


class _DefinedMetric:
    """What `define_metric` returns: it can be the step metric of others."""

    def __init__(self, name: str) -> None:
        self.name = name


def _joined(
    own: OwnRun, facts: RunFacts, step: int, config: dict[str, Any], values: dict[str, Any]
) -> WandbRun:
    if not (facts.mode == "disabled" or facts.state.is_finished):
        own.begin()
    run = WandbRun(own, facts)
    run.go_on(config, values)
    run._step = step
    return run
