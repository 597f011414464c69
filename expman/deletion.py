"""Deletion of runs: only a run that has ended, at its own place; no link is ever followed.

The base directory is the one that the user named. Each level below it is opened by name, without
following links, and everything is read, renamed and deleted relative to these descriptors. If
somebody replaces a directory by a link meanwhile, nothing else is deleted.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from typing import NamedTuple

from expman.errors import ExpmanError
from expman.models import RunStatus
from expman.reading.peek import lanes_of
from expman.reading.run import Run
from expman.storage.paths import RUN_YAML, is_run_file, read_regular
from expman.storage.yamlfile import MAX_YAML_BYTES, parse_yaml

__all__ = ["RUNNING", "NotDeletedError", "delete", "remove_leftovers", "size_bytes", "why_kept"]

RUNNING = "is RUNNING"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DOOMED = ".expman-deleting-"
_LEFTOVER = re.compile(re.escape(_DOOMED) + "[0-9a-f]{16}")
_SHOWN = 3


class NotDeletedError(ExpmanError):
    """A run was not deleted; nothing of it is gone."""

    def __init__(self, run_dir: str, why: str) -> None:
        super().__init__(f"{run_dir} {why}")
        self.run_dir = run_dir
        self.why = why


class _Refused(Exception):
    """A run that must not be deleted."""


class _Place(NamedTuple):
    """Location of a run: descriptors of its experiment's directory and of its own."""

    experiment: str
    name: str
    experiment_fd: int
    run_fd: int


def why_kept(run: Run, *, all_files: bool = False) -> str | None:
    """Returns why a run must not be deleted; None if it may be.

    Args:
        run: the run.
        all_files: the directory may hold files that expman did not write.
    """
    if "://" in run._place:
        return "is in an object store, where expman deletes nothing"
    try:
        with _place_of(run.path) as place:
            _check(run, place, all_files)
    except (_Refused, OSError) as exc:
        return _reason(exc)
    return None


def delete(run: Run, *, all_files: bool = False) -> None:
    """Deletes a run. Its name goes first, so that no half-deleted run is ever listed.

    Args:
        run: the run.
        all_files: also delete files that expman did not write.

    Raises:
        NotDeletedError: it must not be deleted, or cannot be.
    """
    try:
        with _place_of(run.path) as place:
            _check(run, place, all_files)
            _remove(_take_name(place), place.experiment_fd)
    except (_Refused, OSError) as exc:
        raise NotDeletedError(run.path, _reason(exc)) from exc


def remove_leftovers(base_dir: str) -> None:
    """Deletes what killed deletions have left in the directories of experiments."""
    with os.scandir(base_dir) as entries:
        experiments = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    for name in experiments:
        with contextlib.suppress(OSError):
            fd = os.open(os.path.join(base_dir, name), _DIRECTORY)
            try:
                for found in filter(_LEFTOVER.fullmatch, os.listdir(fd)):
                    _remove(found, fd)
            finally:
                os.close(fd)


def size_bytes(run: Run) -> int:
    """Returns the size of a run's files, in bytes."""
    total = 0
    for folder, _, files in os.walk(run.path):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
    return total


@contextlib.contextmanager
def _place_of(path: str) -> Iterator[_Place]:
    home, name = os.path.split(os.path.abspath(path))
    base, experiment = os.path.split(home)
    with contextlib.ExitStack() as stack:
        base_fd = _opened(stack, base, _DIRECTORY & ~os.O_NOFOLLOW, None)
        experiment_fd = _opened(stack, experiment, _DIRECTORY, base_fd)
        run_fd = _opened(stack, name, _DIRECTORY, experiment_fd)
        yield _Place(experiment, name, experiment_fd, run_fd)


def _opened(stack: contextlib.ExitStack, name: str, flags: int, dir_fd: int | None) -> int:
    if dir_fd is not None and stat.S_ISLNK(os.lstat(name, dir_fd=dir_fd).st_mode):
        raise _Refused("is reached through a symbolic link; name the directory itself")
    fd = os.open(name, flags, dir_fd=dir_fd)
    stack.callback(os.close, fd)
    return fd


def _check(run: Run, place: _Place, all_files: bool) -> None:
    found = _run_yaml(place)
    origin = f"{found.get('experiment')}/{found.get('name')}"
    if origin != f"{place.experiment}/{place.name}":
        raise _Refused(
            f"has the run.yaml of {origin}: it was renamed or copied, or expman did not make it; "
            "delete it with rm -r"
        )
    if found.get("status") == RunStatus.RUNNING:
        raise _Refused(RUNNING)
    if lanes_of(run.path):
        raise _Refused("has rows in shared memory; bring them into its files first: expman recover")
    others = sorted(name for name in os.listdir(place.run_fd) if not is_run_file(name))
    if others and not all_files:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        raise _Refused(
            f"holds files that expman did not write: {', '.join(others[:_SHOWN])}{more}; "
            "delete them, too, with --all-files"
        )


def _run_yaml(place: _Place) -> dict[str, object]:
    try:
        data = read_regular(RUN_YAML, most_bytes=MAX_YAML_BYTES + 1, dir_fd=place.run_fd)
        found = parse_yaml(RUN_YAML, data)
        found["status"] = RunStatus.parse(str(found.get("status")))
    except FileNotFoundError:
        raise _Refused("has no run.yaml, so it may not be a run; delete it with rm -r") from None
    except (OSError, ExpmanError, ValueError) as exc:
        raise _Refused(f"has a run.yaml that cannot be read: {exc}") from exc
    return found


def _take_name(place: _Place) -> str:
    """Renames the run's directory to a hidden name, which it returns."""
    doomed = _DOOMED + secrets.token_hex(8)
    there = {"src_dir_fd": place.experiment_fd, "dst_dir_fd": place.experiment_fd}
    os.rename(place.name, doomed, **there)
    taken = os.lstat(doomed, dir_fd=place.experiment_fd)
    if not os.path.samestat(taken, os.fstat(place.run_fd)):
        os.rename(doomed, place.name, **there)
        raise _Refused("was replaced just now")
    return doomed


def _remove(name: str, dir_fd: int) -> None:
    """Deletes a directory, which another process may be deleting at the same time."""
    while name in os.listdir(dir_fd):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(name, dir_fd=dir_fd)


def _reason(exc: Exception) -> str:
    if not isinstance(exc, OSError):
        return str(exc)
    where = f" ({exc.filename})" if exc.filename else ""
    return f"cannot be deleted: {exc.strerror or exc}{where}"
