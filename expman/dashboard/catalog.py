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

from expman.dashboard.listed_records import Listed, ListedRecords
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
FIRST_RUNS = 1000
"""Of many runs, an answer with the whole table has the newest ones; the rest comes as changes."""
MOST_RUNS = 5000
"""Most changed runs that one answer has."""
_FIRST_VERSION = 1
"""All runs have later ones."""


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
        complete: no run waits for its first look, and none for the next answer.
        cut: some runs are left for the next answer.
    """

    version: str
    full: bool
    records: list[bytes]
    removed: list[str]
    complete: bool
    cut: bool


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
        self._version = _FIRST_VERSION
        self._runs: dict[str, KnownRun] = {}
        self._waiting: deque[tuple[str, str]] = deque()
        self._removed: deque[tuple[int, str]] = deque(maxlen=MOST_REMOVED)
        self._forgotten = 0
        self._scanned: float | None = None
        self._listed: ListedRecords | None = None
        self._lock = threading.Lock()
        self._scan_lock = threading.Lock()

    # -- from one start to the next -----------------------------------------------------

    def begin(self) -> None:
        """Takes what is known without a look at all runs, or looks at them if they are few.

        With many runs, the first answer has rows that an earlier server has kept, or the newest
        ones of the base directory's catalog. `go_on` finds out which of them still hold.
        """
        kept = Remembered(self.base_dir).load().items()
        for name, run in sorted(kept, key=lambda one: one[1].began, reverse=True):
            self._version += 1
            known = KnownRun(run.path, self._version, run.record, False, run.began, run.seen)
            self._runs.setdefault(name, known)
        if len(self._runs) <= FIRST_RUNS:
            self._listed = ListedRecords.open(self.base_dir)
            for path, listed in self._listed.newest(FIRST_RUNS) if self._listed else ():
                name = safe_text(run_id(path))
                if name not in self._runs:
                    self._read(name, path, listed)
        if len(self._runs) < FIRST_RUNS:
            self.scan()

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
            before = self._version, self.gone
            known = set(self._runs)  # others may find runs meanwhile
            try:
                found = {safe_text(run_id(path)): path for path in self._directories()}
            except StorageError as exc:
                self.gone, self._scanned = exc.detail, time.monotonic()
                return before != (self._version, self.gone)
            self.gone = None
            for name in known - found.keys():
                self._forget(name)
            fresh = [(name, path) for name, path in found.items() if self._is_fresh(name, path)]
            self._waiting = deque(self._newest_first(fresh) if len(fresh) > 1 else fresh)
            self._scanned = time.monotonic()
            self._take_waiting(time.monotonic() + most_s)
            return before != (self._version, None)

    def scan_if_older(self, most_s: float) -> None:
        """Looks at all runs if nobody has for so many seconds."""
        if self._scanned is None:
            if not self._runs:
                self.scan()
        elif time.monotonic() - self._scanned > most_s:
            self.scan()

    def go_on(self, most_s: float = FIRST_S) -> bool:
        """Reads runs that wait for it, newest first; returns whether anything may have changed."""
        if self._scanned is None:
            return self.scan(most_s)
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
        linked: dict[str, bool] = {}
        for path in run_dirs(self.base_dir, None):
            home = os.path.dirname(path)
            if home not in linked:
                linked[home] = os.path.islink(home)
            if not (linked[home] or os.path.islink(path)) or self._is_inside(path):
                yield path

    def _is_inside(self, path: str) -> bool:
        """Returns whether a path is below the base directory, links followed."""
        base = os.path.realpath(self.base_dir)
        return os.path.realpath(path).startswith(base.rstrip(os.sep) + os.sep)

    def _is_fresh(self, name: str, path: str) -> bool:
        known = self._runs.get(name)
        return known is None or known.seen != _seen(path, known.is_live)

    def _newest_first(self, found: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Sorts by the catalog, if it has the run, else by the time of the directory.

        The latter is about that of the run's end.
        """
        places = {} if self._listed is None else self._listed.places
        new = [entry for entry in found if entry[1] not in places]
        listed = [entry for entry in found if entry[1] in places]
        new.sort(key=lambda entry: _time_of(entry[1]), reverse=True)
        listed.sort(key=lambda entry: places[entry[1]])
        return new + listed

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
            self._listed = None  # what changes from now on is not in it
        finally:
            if was_enabled:
                gc.enable()

    def _read(self, name: str, path: str, listed: Listed = None) -> None:
        # Before it is read: what changes meanwhile is seen the next time.
        seen_live, seen_ended = _seen(path, is_live=True), _seen(path, is_live=False)
        is_live, began = False, ""
        if listed is None and self._listed is not None:
            listed = self._listed.record(path)
        if listed is not None:
            self._take(name, KnownRun(path, 0, listed[0], False, listed[1], seen_ended))
            return
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
        self._take(name, KnownRun(path, 0, record, is_live, began, seen))

    def _take(self, name: str, found: KnownRun) -> None:
        """Takes what a run is now; it has a new version if it has changed."""
        with self._lock:
            known = self._runs.get(name)
            if known is not None and known.record == found.record:
                known.seen = found.seen
                return
            self._version += 1
            found.version = self._version
            self._runs[name] = found

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
        return self._scanned is not None and not self._waiting

    def changes(self, since: str | None) -> Changes:
        """Returns what has changed since a version; everything if it is not known.

        Of very many runs an answer has some, with the version up to which these are all.
        """
        with self._lock:
            born, _, number = (since or "").partition(".")
            last = int(number) if number.isdecimal() and born == self._born else 0
            full = not self._forgotten < last <= self._version
            changed = list(self._runs.values())
            upto = self._version
            if full:
                changed.sort(key=lambda run: run.began, reverse=True)
                if len(changed) > FIRST_RUNS and not self._forgotten:
                    del changed[FIRST_RUNS:]
                    upto = _FIRST_VERSION
            else:
                changed = [run for run in changed if run.version > last]
                if len(changed) > MOST_RUNS:
                    changed.sort(key=lambda run: run.version)
                    del changed[MOST_RUNS:]
                    upto = changed[-1].version
                changed.sort(key=lambda run: run.began, reverse=True)
            removed = [] if full else [name for at, name in self._removed if last < at <= upto]
            back = self._runs.keys()
            return Changes(
                f"{self._born}.{upto}",
                full,
                [run.record for run in changed],
                [name for name in removed if name not in back],
                self.is_complete and upto == self._version,
                upto != self._version,
            )

    def known(self, name: str) -> KnownRun | None:
        """Returns a run as it was last looked at."""
        return self._runs.get(name)

    def live(self) -> list[str]:
        """Returns the ids of the live runs."""
        return [name for name, known in list(self._runs.items()) if known.is_live]


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


def _time_of(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
