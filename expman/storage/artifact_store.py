"""The writer's side of artifacts: from a snapshot into artifacts/.

It walks artifacts/ by directory descriptors and O_NOFOLLOW: no link planted in there can lead it
out. Files take their names by a rename, so a reader sees the old file, the new one, or none.

Trouble has two sides. The run's disk may be full or gone: `StorageError`, and the same call can
be made again. Or the artifact itself cannot be stored, now or later: that is in the result.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import stat
import zlib
from collections.abc import Callable, Iterator

import msgspec

from expman.errors import StorageError
from expman.failpoints import hit
from expman.storage.artifacts import (
    LEFT_OUT,
    PRIVATE,
    UNREADABLE,
    artifact_target,
    discard,
    is_snapshot_name,
    staging_dir,
)
from expman.storage.copying import (
    TargetError,
    clone,
    copy_bytes,
    copy_to_the_end,
    keep_mode_and_times,
    putting,
)
from expman.storage.paths import (
    ARTIFACTS,
    NEW_FILE,
    OPEN_DIRECTORY,
    OPEN_SOURCE,
    TEMP_PREFIX,
    storage_error,
)

__all__ = ["SourceError", "Stored", "store"]

MOST_NAMES = 1000
_DIR = OPEN_DIRECTORY | os.O_NOFOLLOW

_BAD_SOURCE = {
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR),
    *(errno.EISDIR, errno.EINVAL, errno.ENXIO, errno.ENODEV, errno.EOVERFLOW),
}
_FAILING_SOURCE = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EBADMSG, errno.EUCLEAN}
_BAD_NAME = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.EEXIST}

_doubtful: set[tuple[int, int]] = set()
"""Snapshots, by device and inode, whose fsync has failed."""


class SourceError(StorageError):
    """The source cannot be read at present: an I/O error of its disk, which may last."""


class Stored(msgspec.Struct):
    """Outcome of storing an artifact.

    Attributes:
        warnings: for run.log: what was left out on purpose, or has another name.
        problems: what could not be stored and never will be; the rest is there.
        kept: the snapshot, if it has something that has no place in artifacts/.
    """

    warnings: list[str] = msgspec.field(default_factory=list)
    problems: list[str] = msgspec.field(default_factory=list)
    kept: bool = False


def store(
    source: str,
    run_dir: str,
    target: str,
    *,
    staged: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Stored:
    """Brings a file or a tree to `artifacts/<target>`.

    An older artifact of that name is replaced, file by file, each atomically. Where a directory
    has the name that a file needs, or the other way round, the new one is kept beside it under
    a name with a number. Calling it again is harmless: a snapshot that is gone while the target
    is there has been stored.

    Args:
        source: what to copy if there is no snapshot.
        run_dir: the run's directory.
        target: from `artifact_target`.
        staged: name of the snapshot in `staging_dir(run_dir)`; it is removed once stored.
        stopped: asked before each chunk; the copy then ends by `Stopped`.

    Durability: durable when it returns, but for the problems.

    Raises:
        SourceError, StorageError: the target is as before, or partly new if it is a tree.
    """
    result = Stored()
    try:
        parts = artifact_target(target).split("/")
    except ValueError as exc:  # no name that an engine lets through: damage
        result.problems.append(str(exc))
        return result
    if staged is not None and not is_snapshot_name(staged):
        result.problems.append(f"{staged!r} is not the name of a snapshot")
        return result
    path = source if staged is None else os.path.join(staging_dir(run_dir), staged)
    private = staged is not None and staged.endswith(PRIVATE)
    job = _Job(path, run_dir, target, private, stopped, result)
    if staged is not None and not os.path.lexists(path) and job.is_stored(parts):
        return result
    job.store(parts)
    hit("artifact-before-unstage")
    if staged is not None and not result.kept:
        discard(path)
    return result


class _Job:
    """One artifact on its way."""

    def __init__(
        self,
        source: str,
        run_dir: str,
        target: str,
        private: bool,
        stopped: Callable[[], bool],
        result: Stored,
    ) -> None:
        self._source = source
        self._run_dir = run_dir
        self._target = target
        self._private = private
        self._stopped = stopped
        self._result = result

    def store(self, parts: list[str]) -> None:
        if os.path.isdir(self._source):
            for folder, files in self._walk():
                self._store_files([*parts, *folder], files)
        else:
            self._store_files(parts[:-1], [(self._source, parts[-1])])

    def _walk(self) -> Iterator[tuple[list[str], list[tuple[str, str]]]]:
        """The directories of a tree with their files; links to directories are not followed."""
        for directory, folders, files in os.walk(self._source, onerror=self._note_unreadable):
            below = os.path.relpath(directory, self._source)
            kept = []
            for name in [*files, *folders]:
                path = os.path.join(directory, name)
                if name in folders and not os.path.islink(path):
                    continue
                if os.path.isfile(path):
                    kept.append((path, name))
                else:
                    self._note_special(path, os.path.normpath(os.path.join(below, name)))
            yield ([] if below == "." else below.split("/")), kept

    def _note_unreadable(self, exc: OSError) -> None:
        shown = os.path.relpath(exc.filename or self._source, self._source)
        self._check_source(exc, self._source if shown == "." else shown)

    def _note_special(self, path: str, shown: str) -> None:
        link = os.readlink(path) if os.path.islink(path) else ""
        if link.startswith(UNREADABLE):
            code = int(link.removeprefix(UNREADABLE))
            self._result.problems.append(f"{shown}: {os.strerror(code)}")
            return
        what = "not a regular file, or a link to one" if not link or link == LEFT_OUT else "a link"
        self._result.warnings.append(f"artifact {self._target}/{shown} was left out: {what}")

    def _store_files(self, folder: list[str], files: list[tuple[str, str]]) -> None:
        try:
            with self._open_folder(folder) as dir_fd:
                for path, name in files:
                    self._store_file(path, dir_fd, name)
                os.fsync(dir_fd)
        except OSError as exc:
            self._check_target(exc, "/".join(folder))

    def _store_file(self, path: str, dir_fd: int, name: str) -> None:
        try:
            source_fd = os.open(path, OPEN_SOURCE)
        except OSError as exc:
            self._check_source(exc, path)
            return
        try:
            if not stat.S_ISREG(os.fstat(source_fd).st_mode):
                self._result.problems.append(f"{path}: not a regular file")
                return
            with putting():
                free = self._free_name(dir_fd, name)
            if self._private and _move(path, source_fd, dir_fd, free):
                return
            _copy(source_fd, dir_fd, free, self._stopped)
        except TargetError as exc:
            self._check_target(exc, name)
        except OSError as exc:
            self._check_source(exc, path)
        finally:
            os.close(source_fd)

    # -- names ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _open_folder(self, folder: list[str]) -> Iterator[int]:
        """Opens a directory below artifacts/, and makes what is missing of it."""
        fd = os.open(self._run_dir, OPEN_DIRECTORY)
        try:
            for number, part in enumerate((ARTIFACTS, *folder)):
                below = self._enter(fd, part, may_differ=number > 0)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)

    def _enter(self, fd: int, part: str, *, may_differ: bool) -> int:
        for name in _names(part):
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=fd)
                    os.fsync(fd)
                below = os.open(name, _DIR, dir_fd=fd)
            except OSError as exc:
                if may_differ and exc.errno in (errno.ENOTDIR, errno.ELOOP):
                    continue  # a file or a link has the name
                if not may_differ:
                    exc.filename = os.path.join(self._run_dir, part)
                raise
            self._note_name(part, name)
            return below
        raise FileExistsError(errno.EEXIST, "too many artifacts of this name", part)

    def _free_name(self, dir_fd: int, name: str) -> str:
        for free in _names(name):
            if not _is_folder(dir_fd, free):
                self._note_name(name, free)
                return free
        raise FileExistsError(errno.EEXIST, "too many artifacts of this name", name)

    def _note_name(self, asked: str, given: str) -> None:
        if asked != given:
            line = f"artifact {self._target}: {asked} is kept as {given}, the name was taken"
            if line not in self._result.warnings:
                self._result.warnings.append(line)

    def is_stored(self, parts: list[str]) -> bool:
        """True if the target is there, under the name that `store` would have given it."""
        path = os.path.join(self._run_dir, ARTIFACTS)
        for part in parts[:-1]:
            names = (os.path.join(path, name) for name in _names(part))
            fits = (name for name in names if not os.path.lexists(name) or _is_dir(name))
            path = next(fits, path)
        return any(os.path.lexists(os.path.join(path, name)) for name in _names(parts[-1], 2))

    # -- trouble --------------------------------------------------------------------------

    def _check_source(self, exc: OSError, path: str) -> None:
        """Notes a problem of the artifact's own; raises what may heal."""
        if not os.path.isdir(self._run_dir):  # a lost mount: snapshots are gone with it
            raise StorageError(self._run_dir, os.strerror(errno.ENOENT)) from exc
        if exc.errno in _BAD_SOURCE:
            self._result.problems.append(f"{path}: {exc.strerror}")
            return
        kind = SourceError if exc.errno in _FAILING_SOURCE else StorageError
        raise kind(path, exc.strerror or str(exc)) from exc

    def _check_target(self, exc: OSError, name: str) -> None:
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
        if exc.errno in _BAD_NAME or (exc.errno == errno.EFBIG and unlimited):
            self._result.problems.append(f"{name}: {exc.strerror}")
            self._result.kept = True
            return
        path = str(exc.filename or "")
        if not os.path.isabs(path):  # relative where a descriptor of its directory is used
            path = os.path.join(self._run_dir, ARTIFACTS, self._target)
        raise storage_error(path, exc) from exc


def _names(name: str, most: int = MOST_NAMES) -> Iterator[str]:
    """The name, then the same with a number behind it."""
    yield name
    short = name
    while len(os.fsencode(short)) > 250:
        short = short[:-1]
    yield from (f"{short}-{number}" for number in range(2, most + 1))


def _is_folder(dir_fd: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _is_dir(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _move(path: str, source_fd: int, dir_fd: int, name: str) -> bool:
    """Gives a private snapshot its final name; False if it must be copied instead.

    That is so on another file system, and where fsync failed: the next one would succeed without
    the bytes ("fsyncgate"), so they go to another file as long as they can be read.
    """
    if not _is_written_back(source_fd):
        return False
    with putting():
        hit("artifact-before-rename")
        try:
            os.rename(path, name, dst_dir_fd=dir_fd)
        except OSError as exc:
            if exc.errno != errno.EXDEV:
                raise
            return False
    return True


def _is_written_back(fd: int) -> bool:
    if _identity(fd) in _doubtful:
        return False
    try:
        os.fsync(fd)
    except OSError:
        _doubtful.add(_identity(fd))
        return False
    return True


def _identity(fd: int) -> tuple[int, int]:
    info = os.fstat(fd)
    return info.st_dev, info.st_ino


def _copy(source_fd: int, dir_fd: int, name: str, stopped: Callable[[], bool]) -> None:
    # The same temporary name each time: what a killed writer left is replaced, or removed.
    temp = TEMP_PREFIX + f"{zlib.crc32(os.fsencode(name)):08x}"
    with putting(), contextlib.suppress(FileNotFoundError):
        os.unlink(temp, dir_fd=dir_fd)
    with putting():
        fd = os.open(temp, NEW_FILE, 0o600, dir_fd=dir_fd)
    try:
        try:
            if _identity(source_fd) in _doubtful:  # a clone would be one of what is on the disk
                copy_to_the_end(source_fd, fd, stopped)
            elif not clone(source_fd, fd):
                copy_bytes(source_fd, fd, stopped, "artifact-half-copied")
            with putting():
                keep_mode_and_times(fd, os.fstat(source_fd))
                os.fsync(fd)
        finally:
            os.close(fd)
        with putting():
            hit("artifact-before-rename")
            os.rename(temp, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temp, dir_fd=dir_fd)
        raise
