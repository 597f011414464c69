"""The directory of a run, held open, so that another directory at its path is recognized.

A mount may be lost and come back, a directory above may be renamed and renamed back, another one
may be put in its place. Until ours is at its path again, nothing is written and nothing counts as
deleted. Only a directory that has no name left was deleted; then a new one is made.
"""

from __future__ import annotations

import contextlib
import errno
import os

from expman.storage.paths import OPEN_DIRECTORY, fsync_dir, fsync_open_dir

__all__ = ["RunDirectory"]


class RunDirectory:
    """One of them. It is opened, or made, by the first `ensure`.

    Attributes:
        path: where it belongs.
        names_changed: names in it changed since `sync` made them durable.
        failed_syncs: how often `sync` failed: names that were new then may be lost.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd: int | None = None
        self._inode = 0
        self._has_new_parents = True
        self.names_changed = True
        self.failed_syncs = 0

    def ensure(self) -> None:
        """Makes sure that our directory is at its path; makes a new one if it was deleted.

        Not those above it: where the whole base directory is gone, a mount is, and files below
        the empty mount point would be out of sight once it is back.

        Raises:
            OSError: it is elsewhere, or another one is there; nothing may be written now.
        """
        there = _stat(self.path)
        if self._fd is None:
            self._open(make=there is None)
            return
        try:
            ours: os.stat_result | None = os.fstat(self._fd)
        except OSError as exc:
            if not self._is_found_again(there, exc):
                raise OSError(exc.errno, exc.strerror, self.path) from exc
            ours = None
        if ours is None or (there is not None and _is_other_mount_of(ours, there)):
            self.close()
            self._open(make=there is None)
        elif there is None and ours.st_nlink == 0:
            self.close()
            self._open(make=True)
        elif there is None or not os.path.samestat(ours, there):
            self._refuse(there is None)

    def _is_found_again(self, there: os.stat_result | None, exc: OSError) -> bool:
        """True if a directory whose descriptor is of no use any more is at the path, or gone."""
        if there is not None:
            return there.st_ino == self._inode
        return exc.errno == errno.ESTALE and os.path.isdir(os.path.dirname(self.path) or ".")

    def _refuse(self, is_absent: bool) -> None:
        code, what = errno.ENOENT, "No such file or directory"
        if not is_absent:
            code, what = errno.EEXIST, "another directory is at this path and is not written into"
        raise OSError(code, f"{what}; {self._where()}", self.path)

    def _where(self) -> str:
        assert self._fd is not None
        ours = os.fstat(self._fd)
        if ours.st_nlink == 0:
            return "the run's own was deleted, and is made again once the path is free"
        place = os.readlink(f"/proc/self/fd/{self._fd}")
        there = _stat(place)
        if there is None or not os.path.samestat(ours, there):
            return "the file system with the run's directory is not mounted now, mount it again"
        return f"the run's directory is {place} now, move it back"

    def is_in_place(self) -> bool:
        """True if our directory is at its path; for another thread than the one that ensures it."""
        fd = self._fd
        try:
            return fd is not None and os.path.samestat(os.fstat(fd), os.stat(self.path))
        except OSError:
            return False

    def has(self, name: str) -> bool:
        """True if something of that name is in our directory, wherever that is."""
        try:
            os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def rename(self, old: str, new: str) -> None:
        """Renames within our directory, wherever that is."""
        os.rename(old, new, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def remove(self, name: str) -> None:
        """Deletes a file in our directory, wherever that is, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._fd)

    def sync(self) -> None:
        """Makes the names in it durable, at first those of itself and its parent, too."""
        assert self._fd is not None
        try:
            self._sync(self._fd)
        except OSError:
            self.failed_syncs += 1
            raise
        self.names_changed = False

    def _sync(self, fd: int) -> None:
        fsync_open_dir(fd)
        if self._has_new_parents:
            experiment = os.path.dirname(os.path.abspath(self.path))
            for path in (experiment, os.path.dirname(experiment)):
                with contextlib.suppress(PermissionError):  # it may be another user's
                    fsync_dir(path)
            self._has_new_parents = False

    def close(self) -> None:
        """Closes it."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def __del__(self) -> None:
        """Leaves no descriptor behind where whoever opens a run fails halfway, again and again."""
        self.close()

    def _open(self, make: bool) -> None:
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.path)
        self._fd = os.open(self.path, OPEN_DIRECTORY)
        self._inode = os.fstat(self._fd).st_ino
        self._has_new_parents = True


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_other_mount_of(ours: os.stat_result, there: os.stat_result) -> bool:
    """True if a new mount of the file system gave our directory another device number."""
    return ours.st_dev != there.st_dev and (ours.st_ino, ours.st_mtime_ns, ours.st_ctime_ns) == (
        there.st_ino,
        there.st_mtime_ns,
        there.st_ctime_ns,
    )
