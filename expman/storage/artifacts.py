"""Artifacts: a cheap snapshot at the call, a copy into artifacts/ by the writer.

`artifact_target` and `snapshot` run in the trainer, so this module imports neither pyarrow nor
yaml. `store` runs in the writer. It walks artifacts/ by directory descriptors and O_NOFOLLOW:
no link planted in there can lead it out.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import zlib
from collections.abc import Iterator

from expman.faults import reach
from expman.models import safe_text
from expman.storage.paths import ARTIFACTS, STAGING, TEMP_PREFIX, storage_error, write_all

__all__ = ["artifact_target", "is_there", "remove_staging", "snapshot", "staging_dir", "store"]

FICLONE = 0x40049409
CHUNK_BYTES = 1024 * 1024
_LEFT_OUT = "/dev/null/left-out"
_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def artifact_target(path: str, name: str | None = None) -> str:
    """Where in artifacts/ a file goes: a relative path.

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
    return "/".join(parts)


def staging_dir(run_dir: str) -> str:
    """Where the snapshots of a run wait for its writer."""
    return os.path.join(run_dir, STAGING)


def snapshot(source: str, staging: str) -> str | None:
    """Keeps the source as it is now, if that is cheap; runs in the trainer.

    A reflink (Btrfs, XFS, …) is a true snapshot. A hard link, the next best, survives deleting,
    renaming and replacing the source, but not rewriting it in place.

    Returns:
        The staged path, or None if neither is possible: the writer then copies from `source`.

    Raises:
        FileNotFoundError: there is no source.
        ValueError: it is neither a file nor a directory.
    """
    mode = os.stat(source).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ValueError(f"artifact {source!r} is neither a file nor a directory")
    staged = os.path.join(staging, os.urandom(8).hex())
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(staging, 0o700)
        if not stat.S_ISDIR(os.lstat(staging).st_mode):
            return None  # a link that somebody planted would lead out of the run
        if stat.S_ISDIR(mode):
            _snapshot_tree(source, staged)
        else:
            _snapshot_file(source, staged)
    except OSError:
        _remove(staged)
        return None
    return staged


def _snapshot_tree(source: str, staged: str) -> None:
    for directory, folders, files in os.walk(source, onerror=_raise):
        target = os.path.normpath(os.path.join(staged, os.path.relpath(directory, source)))
        os.mkdir(target, 0o700)
        for name in [*files, *folders]:
            path = os.path.join(directory, name)
            if os.path.isfile(path):
                _snapshot_file(path, os.path.join(target, name))
            elif name in files or os.path.islink(path):
                os.symlink(_LEFT_OUT, os.path.join(target, name))  # `store` tells the user


def _raise(exc: OSError) -> None:
    raise exc


def _snapshot_file(source: str, staged: str) -> None:
    source_fd = os.open(source, _READ)
    try:
        fd = os.open(staged, _NEW, 0o600)
        try:
            fcntl.ioctl(fd, FICLONE, source_fd)
            os.fchmod(fd, stat.S_IMODE(os.fstat(source_fd).st_mode))
            return
        except OSError:
            os.unlink(staged)
        finally:
            os.close(fd)
    finally:
        os.close(source_fd)
    os.link(os.path.realpath(source), staged)


def remove_staging(run_dir: str) -> None:
    """Removes the staging directory, unless it has a snapshot that could not be stored."""
    with contextlib.suppress(OSError):
        os.rmdir(staging_dir(run_dir))


def store(source: str, run_dir: str, target: str) -> list[str]:
    """Copies a file or a tree to `artifacts/<target>`; runs in the writer.

    An older artifact of that name is replaced, file by file, each atomically. Calling it again
    is harmless: a snapshot that is gone while the target is there has been stored.

    Args:
        source: what to copy; a snapshot in `staging_dir(run_dir)` is removed once stored.
        run_dir: the run's directory.
        target: from `artifact_target`.

    Returns:
        Warnings for run.log: what could not be followed or copied.

    Durability: durable when it returns.

    Raises:
        StorageError: the target is as before, or partly new if it is a tree.
    """
    parts = artifact_target(target).split("/")
    final = os.path.join(run_dir, ARTIFACTS, *parts)
    home = os.path.dirname(os.path.abspath(source))
    staged = home == os.path.abspath(staging_dir(run_dir))
    if staged and not os.path.lexists(source) and os.path.lexists(final):
        return []
    warnings: list[str] = []
    try:
        if os.path.isdir(source):
            for directory, files in _walk(source, target, warnings):
                folder = [] if directory == "." else directory.split("/")
                with _open_dir(run_dir, [*parts, *folder]) as dir_fd:
                    for name in files:
                        _copy(os.path.join(source, directory, name), dir_fd, name)
                    os.fsync(dir_fd)
        else:
            with _open_dir(run_dir, parts[:-1]) as dir_fd:
                _copy(source, dir_fd, parts[-1])
                os.fsync(dir_fd)
    except OSError as exc:
        path = str(exc.filename or "")  # relative where a descriptor of its directory is used
        raise storage_error(path if os.path.isabs(path) else final, exc) from exc
    reach("artifact-before-unstage")
    if staged:
        _remove(source)
    return warnings


def is_there(source: str) -> bool:
    """Whether an artifact's source can still be read."""
    return os.access(source, os.R_OK)


def _walk(source: str, target: str, warnings: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The directories of a tree with their files; links to directories are not followed."""
    for directory, folders, files in os.walk(source, onerror=_raise):
        below = os.path.relpath(directory, source)
        kept = []
        for name in [*files, *folders]:
            path = os.path.join(directory, name)
            if name in folders and not os.path.islink(path):
                continue
            if os.path.isfile(path):
                kept.append(name)
            else:
                shown = os.path.normpath(os.path.join(target, below, name))
                warnings.append(f"artifact {shown} was left out: no regular file or a link to none")
        yield below, kept


@contextlib.contextmanager
def _open_dir(run_dir: str, parts: list[str]) -> Iterator[int]:
    fd = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in (ARTIFACTS, *parts):
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=fd)
            below = os.open(part, _DIR, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def _copy(source: str, dir_fd: int, name: str) -> None:
    # The same temporary name each time: what a killed writer left is replaced, or removed.
    temp = TEMP_PREFIX + f"{zlib.crc32(os.fsencode(name)):08x}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temp, dir_fd=dir_fd)
    source_fd = os.open(source, _READ)
    try:
        if not stat.S_ISREG(os.fstat(source_fd).st_mode):
            raise OSError(errno.EINVAL, "no regular file", source)
        fd = os.open(temp, _NEW, 0o644, dir_fd=dir_fd)
        try:
            try:
                while chunk := os.read(source_fd, CHUNK_BYTES):
                    write_all(fd, chunk, "artifact-half-copied")
                os.fsync(fd)
            finally:
                os.close(fd)
            reach("artifact-before-rename")
            os.rename(temp, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temp, dir_fd=dir_fd)
            raise
    finally:
        os.close(source_fd)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
