"""A disk whose fsync fails, as Linux has it: the error comes once, and what it was about is lost.

What is read back is what was written, as from a page cache. `crash` makes a copy of what is on the
disk: of each file the bytes that a good fsync found dirty, of the directory the names that a
good fsync found changed. After a failed one, neither counts as dirty or changed any more.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest


class LossyDisk:
    """The disk below one directory; `install` puts it in the place of os.fsync.

    Attributes:
        calls: of fsync so far.
        fails_at: the numbers of the calls that fail, from 1.
    """

    def __init__(self, directory: Path, shadow: Path, fails_at: set[int]) -> None:
        self.calls = 0
        self.fails_at = fails_at
        self.failed: list[str] = []
        self._directory = directory
        self._shadow = shadow
        self._real = os.fsync
        self._names: dict[str, int] = {}  # on the disk
        self._seen_names: dict[str, int] = {}  # at the last fsync, good or not
        self._bytes: dict[int, bytearray] = {}
        self._seen_bytes: dict[int, int] = {}
        shadow.mkdir()

    def install(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(os, "fsync", self.fsync)

    def fsync(self, fd: int) -> None:
        self._real(fd)
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        if self._directory not in (path, path.parent):
            return
        self.calls += 1
        fails = self.calls in self.fails_at
        if path == self._directory:
            self._sync_names(fails)
        else:
            self._sync_bytes(path, os.fstat(fd).st_ino, fails)
        if fails:
            self.failed.append(path.name)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _sync_names(self, fails: bool) -> None:
        now = {entry.name: entry.inode() for entry in os.scandir(self._directory)}
        changed = {
            name: now.get(name)
            for name in now.keys() | self._seen_names.keys()
            if now.get(name) != self._seen_names.get(name)
        }
        self._seen_names = now
        for name, inode in changed.items() if not fails else ():
            if inode is None:
                self._names.pop(name, None)
            else:
                self._names[name] = inode

    def _sync_bytes(self, path: Path, inode: int, fails: bool) -> None:
        held = self._shadow / str(inode)
        if not held.exists():  # no other file gets this inode's number
            os.link(path, held)
        data = held.read_bytes()
        begin = min(self._seen_bytes.get(inode, 0), len(data))
        self._seen_bytes[inode] = len(data)
        durable = self._bytes.setdefault(inode, bytearray())
        dirty = bytes(len(data) - begin) if fails else data[begin:]
        del durable[begin:]
        durable += bytes(begin - len(durable)) + dirty

    def crash(self, target: Path) -> Path:
        """The directory as it is on the disk."""
        target.mkdir()
        for name, inode in self._names.items():
            (target / name).write_bytes(self._bytes.get(inode, b""))
        return target
