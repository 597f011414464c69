"""Where imported runs go: made under a hidden name, and renamed once they are whole.

The hidden directory is locked as long as its import lives. So an import finds what killed ones have
left, and removes it; what one was about to replace comes back.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator

from expman.checks import LATEST, check_name
from expman.errors import ExpmanError, StorageError
from expman.failpoints import hit
from expman.metadata import ExperimentMetadata, RunMetadata
from expman.models import safe_text
from expman.reading.text import visible
from expman.storage.experiment_file import create_experiment
from expman.storage.paths import (
    EXPERIMENT_YAML,
    IMPORT_JSON,
    OPEN_DIRECTORY,
    fsync_dir,
    is_run_file,
    read_regular,
    replace_file,
    storage_error,
)
from expman.storage.yamlfile import RunFile

__all__ = [
    "EarlierImports",
    "Origin",
    "Place",
    "directory_name",
    "new_experiment",
    "read_origin",
    "remove_leftovers",
]

Origin = dict[str, object]
"""Content of import.json."""

_STAGING = ".expman-importing-"
_EARLIER = "-earlier"
_MAX_NAME_BYTES = 200
_MOST_RUNS = 10_000


def directory_name(label: str, text: str) -> str:
    """A name that a directory can have, near to the text.

    Args:
        label: "experiment" or "run_name".
        text: the name in the source.
    """
    name = visible(safe_text(text.replace("/", "_"))).lstrip(".") or "run"
    if len(name.encode()) > _MAX_NAME_BYTES:
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        name = f"{name.encode()[:_MAX_NAME_BYTES].decode(errors='ignore')}-{digest}"
    if label == "run_name" and name == LATEST:  # which stands for the newest run
        name = f"{LATEST}-1"
    return check_name(label, name)


@contextlib.contextmanager
def new_experiment(home: str, project: str | None) -> Iterator[None]:
    """Makes an experiment's directory; removes a new one again if no run came into it."""
    is_new = not os.path.lexists(home)
    os.makedirs(home, exist_ok=True)
    create_experiment(home, ExperimentMetadata(project=project))
    try:
        yield
    finally:
        if is_new and os.listdir(home) == [EXPERIMENT_YAML]:
            shutil.rmtree(home)


class Place:
    """Where one run is made, and where it goes.

    Args:
        home: directory of the experiment.
        origin: identifies the source.

    Attributes:
        staging: the directory to be filled, once it is open.
    """

    def __init__(self, home: str, origin: tuple[str, str]) -> None:
        self._home = home
        digest = hashlib.sha256("\n".join(origin).encode("utf-8", "backslashreplace"))
        self.staging = os.path.join(home, _STAGING + digest.hexdigest()[:32])

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Makes the directory, locked; removes whatever is left of it at the end.

        Raises:
            StorageError: another import has it.
        """
        fd = _locked(self.staging)
        if fd is None:
            raise StorageError(self.staging, "another import of the same run is going on")
        try:
            yield
        finally:
            shutil.rmtree(self.staging, ignore_errors=True)
            os.close(fd)

    def take(self, run_dir: str, meta: RunMetadata, origin: Origin) -> None:
        """Gives what was made its name, in place of what an earlier import made.

        Raises:
            StorageError: it cannot be done.
        """
        meta.name = os.path.basename(run_dir)
        text = json.dumps(origin, indent=1, ensure_ascii=False)
        path = os.path.join(self.staging, IMPORT_JSON)
        replace_file(path, text.encode("utf-8", "backslashreplace"))
        RunFile(self.staging).write(meta)
        try:
            if os.path.lexists(run_dir):
                earlier = self.staging + _EARLIER
                os.rename(run_dir, earlier)
                hit("import-between-names")
                os.rename(self.staging, run_dir)
                fsync_dir(self._home)
                shutil.rmtree(earlier)
            else:
                os.rename(self.staging, run_dir)
                fsync_dir(self._home)
        except OSError as exc:
            raise storage_error(run_dir, exc) from exc


def _is_replaceable(run_dir: str) -> bool:
    try:
        return not os.path.islink(run_dir) and all(map(is_run_file, os.listdir(run_dir)))
    except OSError:
        return False


class EarlierImports:
    """What earlier imports have made in an experiment, and names that are taken by this one.

    Several threads may use it.

    Args:
        home: the experiment's directory.
    """

    def __init__(self, home: str) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._taken: set[str] = set()
        self._places: dict[tuple[object, object], list[str]] = {}
        for name in sorted(os.listdir(home)) if os.path.isdir(home) else ():
            if not name.startswith("."):
                run_dir = os.path.join(home, name)
                origin = read_origin(run_dir)
                if origin:
                    self._note(origin.get("tracker"), origin.get("identity"), run_dir)

    def _note(self, tracker: object, identity: object, run_dir: str) -> None:
        self._places.setdefault((str(tracker), str(identity)), []).append(run_dir)

    def run_dir(self, name: str, origin: tuple[str, str]) -> str:
        """The directory that an earlier import of the source made, or one that nobody has.

        Args:
            name: of a new one; it gets a suffix where that is taken.
            origin: identifies the source. A directory of it that has files that are not ours, or
                one that is gone, is not taken.

        Raises:
            StorageError: too many runs have the name.
        """
        with self._lock:
            for run_dir in self._places.get(origin, []):
                if _is_replaceable(run_dir):
                    return run_dir
            for number in range(_MOST_RUNS):
                run_dir = os.path.join(self._home, f"{name}-{number}" if number else name)
                if run_dir not in self._taken and not os.path.lexists(run_dir):
                    self._taken.add(run_dir)
                    return run_dir
        raise StorageError(self._home, f"has {_MOST_RUNS:,} runs called {name}; delete some")

    def add(self, origin: tuple[str, str], run_dir: str) -> None:
        """Notes a run that was made now."""
        with self._lock:
            self._note(*origin, run_dir)


def read_origin(run_dir: str) -> Origin:
    """The content of import.json; empty if there is none."""
    try:
        found = json.loads(read_regular(os.path.join(run_dir, IMPORT_JSON)))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _locked(staging: str) -> int | None:
    """Makes the directory empty, and locks it; None if another process has it."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(staging)
    fd = os.open(staging, OPEN_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_same = os.path.samestat(os.fstat(fd), os.stat(staging, follow_symlinks=False))
    except BlockingIOError:
        is_same = False
    except FileNotFoundError:
        is_same = False
    except OSError:  # a file system without locks
        is_same = True
    if not is_same:
        os.close(fd)
        return None
    _empty(staging)
    return fd


def _empty(directory: str) -> None:
    for entry in list(os.scandir(directory)):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def remove_leftovers(home: str) -> None:
    """Removes what killed imports have left in an experiment, whatever they imported."""
    if not os.path.isdir(home):
        return
    for name in sorted(os.listdir(home)):
        path = os.path.join(home, name)
        if not name.startswith(_STAGING) or os.path.islink(path):
            continue
        if name.endswith(_EARLIER):
            _put_back(home, path)
            continue
        with contextlib.suppress(OSError):
            fd = _locked(path)
            if fd is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(fd)


def _put_back(home: str, earlier: str) -> None:
    """A run that was being replaced: it comes back unless its successor is there."""
    try:
        name = check_name("run_name", RunFile(earlier).read().name)
    except ExpmanError:
        return
    run_dir = os.path.join(home, name)
    with contextlib.suppress(OSError):
        if os.path.lexists(run_dir):
            shutil.rmtree(earlier)
        else:
            os.rename(earlier, run_dir)
