"""The trainer's side of artifacts: where they may go, and a snapshot at the call.

The writer brings the snapshot into artifacts/, see `artifact_store`. This module runs in the
trainer, so it imports neither pyarrow nor yaml.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator

from expman.models import safe_text
from expman.storage.copying import clone, copy_bytes, keep_mode_and_times
from expman.storage.paths import ARTIFACTS, NEW_FILE, OPEN_SOURCE, STAGING, TEMP_PREFIX

__all__ = [
    "LEFT_OUT",
    "PRIVATE",
    "UNREADABLE",
    "artifact_target",
    "discard",
    "is_snapshot_name",
    "snapshot",
    "staged",
    "staging_dir",
]

PRIVATE = ".own"
"""A snapshot with this ending shares no file with the source: it can be moved, not copied."""
LEFT_OUT = "/dev/null/left-out"
"""A link to here in a snapshot: the source has something there that is not a regular file."""
UNREADABLE = "/dev/null/unreadable/"
"""A link to here, and the number of the error: a file or directory that cannot be read."""
PATH_MAX = 4096
_SNAPSHOT = re.compile(rf"[0-9a-f]{{16}}({re.escape(PRIVATE)})?")


def artifact_target(path: str, name: str | None = None, run_dir: str = "") -> str:
    """Path of a file relative to artifacts/.

    A relative `path` keeps its folders, an absolute one gives its last name; `name` overrides.

    Raises:
        ValueError: naming the rule; nothing can land outside artifacts/.
    """
    chosen = path if name is None else name
    if name is not None and os.path.isabs(name):
        raise ValueError(f"artifact name {name!r} must not be an absolute path")
    if safe_text(path) != path or safe_text(chosen) != chosen:
        raise ValueError(f"artifact {path!r}: names that are no UTF-8 are not supported; rename it")
    if "\0" in chosen:
        raise ValueError(f"artifact name {chosen!r} must not contain NUL")
    if os.path.isabs(chosen):
        chosen = os.path.basename(os.path.normpath(chosen))
    parts = [part for part in chosen.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"artifact name {chosen!r} must not contain '..'; pass name=")
    if not parts:
        raise ValueError(f"artifact path {path!r} has no name of its own; pass name=")
    for part in parts:
        if len(os.fsencode(part)) > 255:
            raise ValueError(f"artifact name {chosen!r} has a part longer than 255 bytes")
        if part.startswith(TEMP_PREFIX):
            raise ValueError(f"artifact name {chosen!r} must not start with {TEMP_PREFIX}")
    target = "/".join(parts)
    length = len(os.fsencode(os.path.join(run_dir, ARTIFACTS, target)))
    if length >= PATH_MAX:
        raise ValueError(
            f"artifact name {chosen[:80]!r}... makes a path of {length} bytes; "
            f"the system allows {PATH_MAX - 1}; pass a shorter name="
        )
    return target


def is_snapshot_name(name: str) -> bool:
    """True if `snapshot` gives such names: anything else could lead out of the directory."""
    return _SNAPSHOT.fullmatch(name) is not None


def staging_dir(run_dir: str) -> str:
    """Directory in which snapshots of a run wait for its writer."""
    return os.path.join(run_dir, STAGING)


def snapshot(source: str, staging: str) -> str | None:
    """Keeps the source as it is now; runs in the trainer.

    A reflink (Btrfs, XFS, …) costs nothing and is a true snapshot. A hard link, the next best,
    survives deleting, renaming and replacing the source, but not rewriting it in place. Where
    neither is possible, on another file system for example, the bytes are copied here and now.

    Returns:
        The staged path; None if the run's disk cannot take it: the writer then copies from
        `source`, as soon as it can.

    Raises:
        FileNotFoundError: there is no source.
        PermissionError: the source cannot be read.
        ValueError: it is neither a file nor a directory.
    """
    mode = os.stat(source).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ValueError(f"artifact {source!r} is neither a file nor a directory")
    os.close(os.open(source, OPEN_SOURCE))  # what cannot be read is the caller's to know
    staged = os.path.join(staging, os.urandom(8).hex())
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(staging, 0o700)
        if not stat.S_ISDIR(os.lstat(staging).st_mode):
            return None  # a link that somebody planted would lead out of the run
        take = _take_tree if stat.S_ISDIR(mode) else _take_file
        private = take(source, staged)
        if private:
            os.rename(staged, staged + PRIVATE)
        return staged + PRIVATE if private else staged
    except OSError:
        discard(staged)
        return None
    except BaseException:  # the caller was interrupted: nobody will ask for the snapshot
        discard(staged)
        raise


def _take_tree(source: str, staged: str) -> bool:
    """Takes a directory; whether no file is shared with it."""
    private = True
    for directory, folders, files in _walk(source, staged):
        target = os.path.normpath(os.path.join(staged, os.path.relpath(directory, source)))
        os.mkdir(target, 0o700)
        folders[:] = [name for name in folders if name != STAGING]  # a run saves itself: no loop
        for name in [*files, *folders]:
            path, copy = os.path.join(directory, name), os.path.join(target, name)
            if os.path.isfile(path):
                private &= _take_or_mark(path, copy)
            elif name in files or os.path.islink(path):
                os.symlink(LEFT_OUT, copy)  # the writer reports it
    return private


def _walk(source: str, staged: str) -> Iterator[tuple[str, list[str], list[str]]]:
    def mark(exc: OSError) -> None:
        if exc.filename == source or exc.errno == errno.ENAMETOOLONG:
            raise exc
        copy = os.path.join(staged, os.path.relpath(exc.filename, source))
        os.symlink(f"{UNREADABLE}{exc.errno}", copy)

    return os.walk(source, onerror=mark)


def _take_or_mark(path: str, copy: str) -> bool:
    try:
        os.close(os.open(path, OPEN_SOURCE))
    except OSError as exc:
        os.symlink(f"{UNREADABLE}{exc.errno}", copy)
        return True
    return _take_file(path, copy)


def _take_file(source: str, staged: str) -> bool:
    """Takes a file; whether it shares nothing with the source."""
    source_fd = os.open(source, OPEN_SOURCE)
    try:
        if _clone(source_fd, staged):
            return True
        with contextlib.suppress(OSError):
            os.link(os.path.realpath(source), staged)
            return False
        fd = os.open(staged, NEW_FILE, 0o600)
        try:
            copy_bytes(source_fd, fd)
            keep_mode_and_times(fd, os.fstat(source_fd))
        finally:
            os.close(fd)
    finally:
        os.close(source_fd)
    return True


def _clone(source_fd: int, staged: str) -> bool:
    fd = os.open(staged, NEW_FILE, 0o600)
    cloned = False
    try:
        cloned = clone(source_fd, fd)
        if cloned:
            keep_mode_and_times(fd, os.fstat(source_fd))
    finally:
        os.close(fd)
        if not cloned:
            os.unlink(staged)
    return cloned


@contextlib.contextmanager
def staged(source: str, run_dir: str) -> Iterator[str | None]:
    """A snapshot for a request; removed if the request is not made.

    Raises:
        FileNotFoundError, PermissionError, ValueError: as `snapshot` does.
    """
    path = snapshot(source, staging_dir(run_dir))
    try:
        yield path
    except BaseException:
        if path is not None:
            discard(path)
        raise


def discard(path: str) -> None:
    """Removes a snapshot, or what can be removed of it."""
    with contextlib.suppress(OSError):
        if os.path.isdir(path) and not os.path.islink(path):
            import shutil

            shutil.rmtree(path)
        else:
            os.unlink(path)
