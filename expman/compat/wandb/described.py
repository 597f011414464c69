"""What a run is: its names, tags and places."""

from __future__ import annotations

import html
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from expman.compat.wandb.missing import MISSING, missing
from expman.integrations.own_run import OwnRun
from expman.models import LogLevel

__all__ = ["DescribedRun", "RunFacts", "RunState"]


class RunState(msgspec.Struct):
    """Where a run is, and how far.

    Attributes:
        began: when, in seconds since the Unix epoch.
        run_dir: the run's directory; None if nothing is recorded.
        is_finished: `finish` was called.
        starting_step: step of the first row, after those of earlier attempts.
        resumed: there are earlier attempts.
    """

    began: float = msgspec.field(default_factory=time.time)
    run_dir: str | None = None
    is_finished: bool = False
    starting_step: int = 0
    resumed: bool = False


class RunFacts(msgspec.Struct):
    """What a run was begun with.

    Attributes:
        id: what identifies the run among those of the project.
        name: what it is called.
        project: its project: the experiment.
        mode: "online" and "offline" mean the same; "disabled": nothing is recorded.
        entity: kept as an attribute only.
        group: what the runs of one job have in common.
        job_type: as "train" or "eval".
        notes: the description.
        tags: its tags.
        state: where it is, and how far.
    """

    id: str
    name: str
    project: str
    mode: str = "online"
    entity: str = ""
    group: str = ""
    job_type: str = ""
    notes: str | None = None
    tags: tuple[str, ...] = ()
    state: RunState = msgspec.field(default_factory=RunState)


class DescribedRun:
    """The names, tags and places of a run; some can be changed."""

    _own: OwnRun
    _facts: RunFacts
    _step: int = 0

    @property
    def id(self) -> str:
        """What identifies the run among those of its project."""
        return self._facts.id

    @property
    def name(self) -> str:
        """What the run is called. The directory keeps its name when this one is changed."""
        return self._facts.name

    @name.setter
    def name(self, name: str) -> None:
        self._facts.name = str(name)
        self._own.log_scalar("display_name", self._facts.name)

    @property
    def notes(self) -> str | None:
        """The description of the run."""
        return self._facts.notes

    @notes.setter
    def notes(self, notes: str | None) -> None:
        self._facts.notes = notes
        self._own.attempt(lambda engine: engine.set_description(notes))

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of the run."""
        return self._facts.tags

    @tags.setter
    def tags(self, tags: Sequence[str]) -> None:
        self._facts.tags = tuple(tags)
        self._own.attempt(lambda engine: engine.set_tags(tags))

    @property
    def project(self) -> str:
        """The project, which is the experiment."""
        return self._facts.project

    @property
    def run_dir(self) -> str | None:
        """The run's directory; None if nothing is recorded."""
        return self._facts.state.run_dir

    @property
    def dir(self) -> str:
        """A directory for the program's files, which stay with the run."""
        home = self.run_dir or os.path.join(tempfile.gettempdir(), f"expman-{self._facts.id}")
        path = os.path.join(home, "files")
        os.makedirs(path, exist_ok=True)
        return path

    @property
    def url(self) -> str | None:
        """The run's directory as a URL; None if nothing is recorded."""
        return None if self.run_dir is None else Path(self.run_dir).as_uri()

    @property
    def path(self) -> str:
        """Project and id."""
        return f"{self._facts.project}/{self._facts.id}"

    @property
    def step(self) -> int:
        """The step of the next row."""
        return self._step

    @property
    def disabled(self) -> bool:
        """True if nothing is recorded."""
        return self._facts.mode == "disabled"

    @property
    def has_ended(self) -> bool:
        """True after `finish`, also if expman's own calls have ended the run."""
        engine = self._own.engine
        return self._facts.state.is_finished or (engine is not None and engine.has_ended)

    @property
    def start_time(self) -> float:
        """When it began, in seconds since the Unix epoch."""
        return self._facts.state.began

    sweep_id = sweep_url = project_url = None

    def __getattr__(self, name: str) -> Any:
        if name in ("entity", "group", "job_type"):
            return getattr(self._facts, name)
        if name in ("resumed", "starting_step"):
            return getattr(self._facts.state, name)
        if name in ("config_static", "settings"):
            return self.config if name == "config_static" else self._facts
        if name == "sync_dir":
            return self._facts.state.run_dir
        if name == "offline":
            return self._facts.mode == "offline"
        if name in MISSING:
            return missing(name, "run.")
        raise AttributeError(f"a run has no attribute {name!r}")

    def display(self, *_: object, **__: object) -> bool:
        """Shows nothing; False."""
        return False

    def to_html(self, *_: object, **__: object) -> str:
        """A link to the run's directory."""
        return f'<a href="{html.escape(self.url or "")}">{html.escape(self.path)}</a>'

    def write_logs(self, text: str) -> None:
        """Adds a line to run.log."""
        self._own.say(LogLevel.INFO, text)

    def pin_config_keys(self, keys: Sequence[str]) -> None:
        """Does nothing."""

    def get_url(self) -> str | None:
        """The same as `url`."""
        return self.url

    def project_name(self) -> str:
        """The same as `project`."""
        return self.project
