"""Plain records of runs for views: all that a view shows, and nothing that reads a file."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expman.errors import ExpmanError
from expman.metadata import RunMetadata
from expman.models import RunStatus
from expman.storage.times import parse_time

if TYPE_CHECKING:
    from expman.reading.curves import Curve
    from expman.reading.media import MediaItem

__all__ = ["RunDetails", "RunSummary", "UnreadableRun", "experiment_of", "name_of"]


_NO_NAMES = frozenset({"", ".", ".."})


def name_of(run_dir: str) -> str:
    """Returns the name of a run: its directory's."""
    name = os.path.basename(run_dir)
    return name if name not in _NO_NAMES else os.path.basename(os.path.abspath(run_dir))


def experiment_of(run_dir: str) -> str:
    """Returns the name of a run's experiment: that of the directory above."""
    above, name = os.path.split(run_dir)
    if name not in _NO_NAMES and (experiment := os.path.basename(above)) not in _NO_NAMES:
        return experiment
    return os.path.basename(os.path.dirname(os.path.abspath(run_dir)))


@dataclass(frozen=True)
class RunSummary:
    """The content of a run's run.yaml at one moment.

    Attributes:
        path: the run's directory.
        metadata: the content of run.yaml.
    """

    path: str
    metadata: RunMetadata

    @property
    def name(self) -> str:
        """The run's name."""
        return name_of(self.path)

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return experiment_of(self.path)

    @property
    def status(self) -> RunStatus:
        """The status of the run."""
        return self.metadata.status

    @property
    def started_at(self) -> datetime.datetime | None:
        """Start of the run, in UTC."""
        return parse_time(self.metadata.started_at)

    @property
    def finished_at(self) -> datetime.datetime | None:
        """End of the run, in UTC; None while it is live."""
        return parse_time(self.metadata.finished_at)

    @property
    def duration(self) -> datetime.timedelta | None:
        """Time that the run took, or has been running; None if that is unknown."""
        meta = self.metadata
        if meta.duration_secs is not None:
            return datetime.timedelta(seconds=meta.duration_secs)
        start, end = self.started_at, self.finished_at
        if start is None or (end is None and meta.status is not RunStatus.RUNNING):
            return None
        return max((end or datetime.datetime.now(datetime.UTC)) - start, datetime.timedelta(0))


@dataclass(frozen=True)
class UnreadableRun:
    """A run whose files cannot be read, and why.

    Attributes:
        path: the run's directory.
        error: what failed.
    """

    path: str
    error: ExpmanError

    @property
    def name(self) -> str:
        """The run's name."""
        return name_of(self.path)

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return experiment_of(self.path)


@dataclass(frozen=True)
class RunDetails:
    """Everything that the view of a single run shows.

    Attributes:
        summary: the content of run.yaml.
        metrics: the names of all metrics.
        curves: the curves of the first metrics that are numbers.
        params: the parameters under dotted names.
        artifacts: how many files were saved.
        observed: titles and texts of what was recorded unasked.
        media: pictures and the like.
    """

    summary: RunSummary
    metrics: list[str]
    curves: Mapping[str, Curve]
    params: Mapping[str, object]
    artifacts: int
    observed: Sequence[tuple[str, str]] = ()
    media: Sequence[MediaItem] = ()
