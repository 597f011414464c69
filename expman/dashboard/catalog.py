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
from itertools import islice
from typing import NamedTuple

from expman.dashboard.known_runs import KnownRun, KnownRuns, Packing, signatures
from expman.dashboard.listed_records import Listed, ListedRecords
from expman.dashboard.remembered import FEWEST_RUNS, Remembered
from expman.dashboard.run_record import lost_record, record_of, run_id
from expman.errors import StorageError
from expman.models import RunStatus, safe_text
from expman.reading.directories import is_run, run_dirs
from expman.reading.runyaml import RunYaml
from expman.storage.paths import CONFIG_YAML, RUN_YAML

__all__ = ["Catalog", "Changes"]

MOST_REMOVED = 10_000
"""Removals that are remembered; a client that is further behind gets the whole table."""
FIRST_S = 0.5
"""A first look at the runs takes about so long; the rest comes as changes."""
FIRST_RUNS = 1000
"""Of many runs, an answer with the whole table has the newest ones; the rest comes as changes."""
MOST_RUNS = 2000
"""Most changed runs that one answer has."""
_FIRST_VERSION = 1
"""All runs have later ones."""


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
        self._runs = KnownRuns(Packing())
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
        packing, kept = Remembered(self.base_dir).load()
        self._runs = KnownRuns(packing)
        for name in sorted(kept, key=lambda one: kept[one].began, reverse=True):
            self._version += 1
            self._runs[name] = kept.pop(name)
            self._runs[name].version = self._version
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
        kept = {name: run for name, run in list(self._runs.items()) if not run.is_live}
        if len(kept) >= FEWEST_RUNS:
            Remembered(self.base_dir).save(self._runs.packing, kept)

    # -- looking ------------------------------------------------------------------------

    def scan(self, most_s: float = FIRST_S) -> bool:
        """Looks at all runs; returns whether anything has changed.

        Args:
            most_s: runs beyond what can be read in so many seconds wait for `go_on`.
        """
        with self._scan_lock:
            before = self._version, self.gone
            gone = set(self._runs)  # others may find runs meanwhile
            fresh = []
            try:
                for path in self._directories():
                    name = safe_text(run_id(path))
                    gone.discard(name)
                    if self._is_fresh(name, path):
                        fresh.append((name, path))
            except StorageError as exc:
                self.gone, self._scanned = exc.detail, time.monotonic()
                return before != (self._version, self.gone)
            self.gone = None
            for name in gone:
                self._forget(name)
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
            for name in self.live():
                path = self.place(name)
                if path is not None and self._is_fresh(name, path):
                    self._read(name, path)
            return before != self._version

    def look_at(self, name: str) -> str | None:
        """Looks at one run; returns its directory, or None if there is no such run."""
        experiment, _, run = name.partition("/")
        path = self.place(name) or self._usual_place(name)
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
        return path if name in self._runs else None

    def _usual_place(self, name: str) -> str:
        return os.path.join(self.base_dir, *name.split("/", 1))

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
        return known is None or known.seen != signatures(path, known.is_live)

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
        seen_ended = signatures(path, is_live=False)
        is_live, began = False, ""
        if listed is None and self._listed is not None:
            listed = self._listed.record(path)
        if listed is not None:
            self._take(name, path, listed[0], KnownRun(0, b"", listed[1], seen_ended))
            return
        seen_live = signatures(path, is_live=True)
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
        self._take(name, path, record, KnownRun(0, b"", began, seen, is_live))

    def _take(self, name: str, path: str, record: bytes, found: KnownRun) -> None:
        """Takes what a run is now; it has a new version if it has changed."""
        with self._lock:
            known = self._runs.get(name)
            found.packed = self._runs.packing.pack(record)
            if known is not None and known.packed == found.packed:
                known.seen = found.seen
                return
            if path != self._usual_place(name):
                found.place = path
            self._version += 1
            found.version = self._version
            self._runs.pop(name, None)
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
            upto = self._version
            if full:
                changed = sorted(self._runs.values(), key=_began, reverse=True)
                if len(changed) > FIRST_RUNS and not self._forgotten:
                    del changed[FIRST_RUNS:]
                    upto = _FIRST_VERSION
            else:
                later = (run for run in self._runs.values() if run.version > last)
                changed = list(islice(later, MOST_RUNS + 1))
                if len(changed) > MOST_RUNS:
                    del changed[MOST_RUNS:]
                    upto = changed[-1].version
                changed.sort(key=_began, reverse=True)
            removed = [] if full else [name for at, name in self._removed if last < at <= upto]
            back = self._runs.keys()
            return Changes(
                f"{self._born}.{upto}",
                full,
                [self._runs.packing.unpack(run.packed) for run in changed],
                [name for name in removed if name not in back],
                self.is_complete and upto == self._version,
                upto != self._version,
            )

    def place(self, name: str) -> str | None:
        """Returns the directory of a run as it was last looked at."""
        known = self._runs.get(name)
        return None if known is None else known.place or self._usual_place(name)

    def record(self, name: str) -> bytes | None:
        """Returns the row of a run as it was last looked at, as JSON."""
        known = self._runs.get(name)
        return None if known is None else self._runs.packing.unpack(known.packed)

    def live(self) -> list[str]:
        """Returns the ids of the live runs."""
        return [name for name, known in list(self._runs.items()) if known.is_live]


def _began(run: KnownRun) -> str:
    return run.began


def _time_of(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
