"""All runs below the base directory, each with the version at which it last changed.

The look at a directory costs one `stat`: whatever replaces a file there renews the directory's
time. Only of a live run is run.yaml itself looked at, whose time the writer renews in place.
"""

from __future__ import annotations

import gc
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from expman.dashboard.remembered import FEWEST_RUNS, Remembered, RememberedRun
from expman.dashboard.run_record import lost_record, record_of, run_id
from expman.errors import StorageError
from expman.models import RunStatus, safe_text
from expman.reading.directories import is_run, run_dirs
from expman.reading.runyaml import RunYaml
from expman.storage.paths import CONFIG_YAML, NOTES_MD, RUN_YAML

__all__ = ["Catalog", "Changes", "KnownRun"]

MOST_REMOVED = 10_000
"""Removals that are remembered; a client that is further behind gets the whole table."""
FIRST_S = 0.5
"""A first look at the runs takes about so long; the rest comes as changes."""


class KnownRun(msgspec.Struct):
    """A run as it was last looked at.

    Attributes:
        path: its directory.
        version: of the catalog when it changed last.
        record: its row of the table, as JSON.
        is_live: its status is RUNNING.
        began: what sorts runs by their start.
        seen: times and size by which a change shows.
    """

    path: str
    version: int
    record: bytes
    is_live: bool
    began: str
    seen: tuple[tuple[int, ...], ...]


class Changes(NamedTuple):
    """What has changed in the table since a version.

    Attributes:
        version: the version now.
        full: it is the whole table.
        records: rows, as JSON.
        removed: ids of runs that are gone.
        complete: no run waits for its first look.
    """

    version: str
    full: bool
    records: list[bytes]
    removed: list[str]
    complete: bool


class Catalog:
    """The runs of a base directory. All calls may come from any thread.

    Args:
        base_dir: directory that holds all experiments.

    Attributes:
        gone: why the base directory cannot be read; None if it can.
    """

    def __init__(self, base_dir: str) -> None:
        self.base_dir = os.path.abspath(base_dir)
        self.gone: str | None = None
        self._born = secrets.token_hex(4)  # versions of another server mean nothing here
        self._version = 1
        self._runs: dict[str, KnownRun] = {}
        self._waiting: deque[tuple[str, str]] = deque()
        self._removed: deque[tuple[int, str]] = deque(maxlen=MOST_REMOVED)
        self._forgotten = 0
        self._scanned = 0.0
        self._lock = threading.Lock()
        self._scan_lock = threading.Lock()

    # -- from one start to the next -----------------------------------------------------

    def recall(self) -> None:
        """Takes what an earlier server has kept; `scan` finds out what of it still holds."""
        for name, run in Remembered(self.base_dir).load().items():
            known = KnownRun(run.path, self._version, run.record, False, run.began, run.seen)
            self._runs.setdefault(name, known)

    def remember(self) -> None:
        """Keeps the rows of ended runs for the next server, if there are many."""
        kept = {
            name: RememberedRun(run.path, run.record, run.began, run.seen)
            for name, run in list(self._runs.items())
            if not run.is_live
        }
        if len(kept) >= FEWEST_RUNS:
            Remembered(self.base_dir).save(kept)

    # -- looking ------------------------------------------------------------------------

    def scan(self, most_s: float = FIRST_S) -> bool:
        """Looks at all runs; returns whether anything has changed.

        Args:
            most_s: runs beyond what can be read in so many seconds wait for `go_on`.
        """
        with self._scan_lock:
            self._scanned = time.monotonic()
            before = self._version, self.gone
            try:
                found = {safe_text(run_id(path)): path for path in self._directories()}
            except StorageError as exc:
                self.gone = exc.detail
                return before != (self._version, self.gone)
            self.gone = None
            for name in self._runs.keys() - found.keys():
                self._forget(name)
            fresh = [(name, path) for name, path in found.items() if self._is_fresh(name, path)]
            self._waiting = deque(_newest_first(fresh) if len(fresh) > 1 else fresh)
            self._take_waiting(time.monotonic() + most_s)
            return before != (self._version, None)

    def scan_if_older(self, most_s: float) -> None:
        """Looks at all runs if nobody has for so many seconds."""
        if time.monotonic() - self._scanned > most_s:
            self.scan()

    def go_on(self, most_s: float = FIRST_S) -> bool:
        """Reads runs that wait for it, newest first; returns whether there were any."""
        with self._scan_lock:
            there_were = bool(self._waiting)
            self._take_waiting(time.monotonic() + most_s)
            return there_were

    def look_at_live(self) -> bool:
        """Looks at the live runs alone; returns whether anything has changed."""
        with self._scan_lock:
            before = self._version
            for name, known in list(self._runs.items()):
                if known.is_live and self._is_fresh(name, known.path):
                    self._read(name, known.path)
            return before != self._version

    def look_at(self, name: str) -> str | None:
        """Looks at one run; returns its directory, or None if there is no such run."""
        experiment, _, run = name.partition("/")
        known = self._runs.get(name)
        path = known.path if known is not None else os.path.join(self.base_dir, experiment, run)
        odd = {"", os.curdir, os.pardir}
        if experiment in odd or run in odd or os.sep in run or "\0" in name:
            return None
        if experiment.startswith(".") or run.startswith("."):
            return None
        with self._scan_lock:
            try:
                if not (os.path.isdir(path) and self._is_inside(path)):
                    raise FileNotFoundError
                if self._is_fresh(name, path):
                    self._read(name, path)
            except (OSError, ValueError):
                self._forget(name)
        known = self._runs.get(name)
        return None if known is None else known.path

    def _directories(self) -> Iterator[str]:
        for path in run_dirs(self.base_dir, None):
            if not _has_link(path) or self._is_inside(path):
                yield path

    def _is_inside(self, path: str) -> bool:
        """Returns whether a path is below the base directory, links followed."""
        base = os.path.realpath(self.base_dir)
        return os.path.realpath(path).startswith(base.rstrip(os.sep) + os.sep)

    def _is_fresh(self, name: str, path: str) -> bool:
        known = self._runs.get(name)
        return known is None or known.seen != _seen(path, known.is_live)

    def _take_waiting(self, deadline: float) -> None:
        # Nothing that is read refers to itself, and the collector would take a fifth of the time.
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            while self._waiting:
                name, path = self._waiting.popleft()
                self._read(name, path)
                if time.monotonic() > deadline:
                    return
        finally:
            if was_enabled:
                gc.enable()

    def _read(self, name: str, path: str) -> None:
        # Before it is read: what changes meanwhile is seen the next time.
        seen_live, seen_ended = _seen(path, is_live=True), _seen(path, is_live=False)
        is_live, began = False, ""
        try:
            for file in (RUN_YAML, CONFIG_YAML):
                inner = os.path.join(path, file)
                if os.path.islink(inner) and not self._is_inside(inner):
                    raise StorageError(inner, "is a link that leaves the base directory")
            yaml = RunYaml(path)
            is_live = yaml.status is RunStatus.RUNNING
            began = str(yaml.sort_key)
            record = record_of(path, yaml, yaml.signature[1] / 1e9)
        except FileNotFoundError:
            if not is_run(path):
                self._forget(name)
                return
            record = lost_record(path, "run.yaml does not exist (yet)")
        except StorageError as exc:
            record = lost_record(path, str(exc))
        seen = seen_live if is_live else seen_ended
        with self._lock:
            known = self._runs.get(name)
            if known is not None and known.record == record:
                known.seen = seen
                return
            self._version += 1
            self._runs[name] = KnownRun(path, self._version, record, is_live, began, seen)

    def _forget(self, name: str) -> None:
        with self._lock:
            if self._runs.pop(name, None) is not None:
                self._version += 1
                if len(self._removed) == MOST_REMOVED:
                    self._forgotten = self._removed[0][0]
                self._removed.append((self._version, name))

    # -- answers ------------------------------------------------------------------------

    @property
    def version(self) -> str:
        """The version now."""
        return f"{self._born}.{self._version}"

    @property
    def is_complete(self) -> bool:
        """Whether no run waits for its first look."""
        return not self._waiting

    def changes(self, since: str | None) -> Changes:
        """Returns what has changed since a version; everything if it is not known."""
        with self._lock:
            born, _, number = (since or "").partition(".")
            last = int(number) if number.isdecimal() and born == self._born else 0
            full = not self._forgotten < last <= self._version
            if full:
                last = 0
            changed = [run for run in self._runs.values() if run.version > last]
            changed.sort(key=lambda run: run.began, reverse=True)
            removed = [] if full else [name for at, name in self._removed if at > last]
            back = self._runs.keys()
            return Changes(
                self.version,
                full,
                [run.record for run in changed],
                [name for name in removed if name not in back],
                self.is_complete,
            )

    def known(self, name: str) -> KnownRun | None:
        """Returns a run as it was last looked at."""
        return self._runs.get(name)

    def live(self) -> list[str]:
        """Returns the ids of the live runs."""
        return [name for name, known in list(self._runs.items()) if known.is_live]


def _has_link(path: str) -> bool:
    return os.path.islink(path) or os.path.islink(os.path.dirname(path))


def _seen(path: str, is_live: bool) -> tuple[tuple[int, ...], ...]:
    """Returns times by which a change of a run shows; empty if it is gone."""
    names = (RUN_YAML, CONFIG_YAML, NOTES_MD) if is_live else ("",)
    return tuple(_signature(os.path.join(path, name)) for name in names)


def _signature(path: str) -> tuple[int, ...]:
    try:
        info = os.stat(path)
    except OSError:
        return ()
    return info.st_ino, info.st_mtime_ns, info.st_size


def _newest_first(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Sorts by the time of the directories, which is about that of the runs' ends."""

    def time_of(entry: tuple[str, str]) -> int:
        try:
            return os.stat(entry[1]).st_mtime_ns
        except OSError:
            return 0

    return sorted(found, key=time_of, reverse=True)
