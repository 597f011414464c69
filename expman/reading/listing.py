"""What a list shows of a run: read from a few lines of its run.yaml where expman wrote that.

Parsing all of 10,000 files would take most of the time that a list takes.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from expman.errors import ExpmanError, StorageError
from expman.metadata import PRUNED
from expman.models import RunStatus
from expman.reading.formats import format_missing
from expman.reading.runyaml import RunYaml
from expman.reading.summary import RunSummary, UnreadableRun, experiment_of, name_of
from expman.storage.times import parse_time
from expman.storage.yamlfile import parse_yaml

__all__ = ["MAX_LATEST", "MISSING", "ListedRun", "listed", "listed_run"]

MAX_LATEST = 16
"""Latest values that a line of a list has room for."""
_LATEST = re.compile(rb"^vectors:(?: \{\})?\n((?:(?:  [^\n]*)?\n)*)", re.MULTILINE)
MISSING = ("rows_missing", "artifacts_missing", "lanes_unreadable")


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run as a list shows it.

    Attributes:
        path: the run's directory.
        status: the status.
        started_at: start of the run; None if that is unknown.
        duration: time that it took, or has been running; None if that is unknown.
        missing: what it is known to lack; "" if nothing.
        latest: the first metrics and their latest values.
        pruned: it was ended early, because others were better.
    """

    path: str
    status: RunStatus
    started_at: datetime.datetime | None
    duration: datetime.timedelta | None
    missing: str
    latest: Mapping[str, object]
    pruned: bool = False

    @property
    def name(self) -> str:
        """The run's name."""
        return name_of(self.path)

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return experiment_of(self.path)


def listed(run: RunSummary | UnreadableRun) -> ListedRun | UnreadableRun:
    """Returns a summary as a list shows it."""
    if isinstance(run, UnreadableRun):
        return run
    latest = dict(list(run.metadata.vectors.items())[:MAX_LATEST])
    missing, is_pruned = format_missing(run), run.metadata.is_pruned
    return ListedRun(run.path, run.status, run.started_at, run.duration, missing, latest, is_pruned)


def listed_run(run_dir: str, yaml: RunYaml) -> ListedRun | UnreadableRun:
    """Reads what a list shows of a run; of a damaged run, why it cannot be read."""
    try:
        return _quick(run_dir, yaml) or listed(RunSummary(run_dir, yaml.metadata()))
    except ExpmanError as exc:
        return UnreadableRun(run_dir, exc)


def _quick(run_dir: str, yaml: RunYaml) -> ListedRun | None:
    """Reads the lines that a list needs; None if the file must be parsed."""
    data = yaml.data
    latest = _LATEST.search(data, data.find(b"\nvectors:") + 1)
    # A file of our own has each key of the top level once, on a line that begins with it.
    if b"\nrows_logged: " not in data or latest is None:
        return None
    if any(_line(data, key.encode()) != b"0" for key in MISSING):
        return None
    started, took = yaml.started_at, _line(data, b"duration_secs")
    try:
        values = _first_values(yaml.path, latest[1].split(b"\n  "))
        duration = None if took == b"null" else datetime.timedelta(seconds=float(took))
    except (StorageError, ValueError, OverflowError):
        return None
    if duration is None and started is not None:
        is_live = yaml.status is RunStatus.RUNNING
        now = datetime.datetime.now(datetime.UTC) if is_live else None
        end = parse_time(yaml.text("finished_at")) or now
        duration = None if end is None else max(end - started, datetime.timedelta(0))
    is_pruned = b"\n- pruned\n" in data and PRUNED in yaml.tags
    return ListedRun(run_dir, yaml.status, started, duration, "", values, is_pruned)


def _line(data: bytes, key: bytes) -> bytes:
    """What stands behind a key of the top level; nothing if it has no line."""
    at = data.find(b"\n" + key + b": ")
    return b"" if at < 0 else data[at + len(key) + 3 : data.find(b"\n", at + 1)]


def _first_values(path: str, lines: Sequence[bytes]) -> Mapping[str, object]:
    first: list[bytes] = []
    for line in lines:
        # A line that is indented further goes on with the value before it.
        if len(first) >= MAX_LATEST and not line.startswith(b" "):
            break
        first.append(line)
    return parse_yaml(path, b"\n".join(first).strip())
