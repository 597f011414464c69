"""How runs are deleted: only what is a run, at its place, and ended; no link is ever followed.

The base directory is the one that the user named. Below it each level is opened by its name and
without following links, and all that is looked at, renamed and deleted is reached from there:
whoever replaces a directory by a link meanwhile has nothing else deleted.
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

import click

from expman.errors import ExpmanError
from expman.models import RunStatus
from expman.reading.peek import lanes_of
from expman.reading.run import Run
from expman.storage.paths import RUN_YAML, is_run_file, open_regular
from expman.storage.yamlfile import MAX_YAML_BYTES, parse_yaml

__all__ = ["RUNNING", "delete", "remove_leftovers", "size_bytes", "why_kept"]

RUNNING = "is RUNNING"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DOOMED = ".expman-deleting-"
_LEFTOVER = re.compile(re.escape(_DOOMED) + "[0-9a-f]{16}")
_SHOWN = 3


class _Refused(Exception):
    """A run that must not be deleted."""


class _Place(NamedTuple):
    """Where a run is: descriptors of its experiment's directory and its own."""

    experiment: str
    name: str
    experiment_fd: int
    run_fd: int


def why_kept(run: Run, *, all_files: bool = False) -> str | None:
    """Why a run must not be deleted; None if it may.

    Args:
        run: the run.
        all_files: it may hold files that are not ours.
    """
    try:
        with _place_of(run.path) as place:
            _check(run, place, all_files)
    except (_Refused, OSError) as exc:
        return _reason(exc)
    return None


def delete(run: Run, *, all_files: bool = False) -> None:
    """Deletes a run: first its name, so that no half a run is ever listed.

    Args:
        run: the run.
        all_files: also delete files in its directory that are not ours.

    Raises:
        click.ClickException: it must not be deleted, or cannot be.
    """
    try:
        with _place_of(run.path) as place:
            _check(run, place, all_files)
            _remove(_take_name(place), place.experiment_fd)
    except (_Refused, OSError) as exc:
        raise click.ClickException(f"{run.path} {_reason(exc)}") from exc


def remove_leftovers(base_dir: str) -> None:
    """Deletes what deletions that were killed have left in the experiments' directories."""
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
    """Bytes of the files of a run."""
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
            f"has the run.yaml of {origin}: it was renamed or copied, or is no run of expman; "
            "delete it with rm -r"
        )
    if found.get("status") == RunStatus.RUNNING:
        raise _Refused(RUNNING)
    if lanes_of(run.path):
        raise _Refused("has rows in shared memory")
    others = sorted(name for name in os.listdir(place.run_fd) if not is_run_file(name))
    if others and not all_files:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        raise _Refused(
            f"holds what expman did not write: {', '.join(others[:_SHOWN])}{more}; "
            "--all-files deletes it, too"
        )


def _run_yaml(place: _Place) -> dict[str, object]:
    try:
        with os.fdopen(open_regular(RUN_YAML, dir_fd=place.run_fd), "rb") as file:
            found = parse_yaml(RUN_YAML, file.read(MAX_YAML_BYTES + 1))
        found["status"] = RunStatus.parse(str(found.get("status")))
    except FileNotFoundError:
        raise _Refused("has no run.yaml: it may be something else") from None
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
    """Deletes a directory, which another process may be deleting, too."""
    while name in os.listdir(dir_fd):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(name, dir_fd=dir_fd)


def _reason(exc: Exception) -> str:
    if not isinstance(exc, OSError):
        return str(exc)
    where = f" ({exc.filename})" if exc.filename else ""
    return f"cannot be deleted: {exc.strerror or exc}{where}"
