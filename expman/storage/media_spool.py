"""Files that carry large media from the trainer to the writer: written again and again.

Pages of a file that exists are written several times as fast as those of a new one. So the writer
does not delete a spool that it is done with: it marks it as free, and the trainer uses it again.
The first byte is 1 while the spool is free; the content begins at CONTENT_OFFSET.

The trainer writes content and byte in one call, before its record is published. The writer stores
1 once the request is gone. Nobody else writes, and no spool is in two requests.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections import deque

from expman.storage.artifacts import staging_dir
from expman.storage.paths import NEW_FILE

__all__ = ["CONTENT_OFFSET", "Spools", "free_spool", "is_spool_name"]

CONTENT_OFFSET = 64
_ENDING = ".spool"
_NAME = re.compile(r"[0-9a-f]{16}\.spool")
_BUSY = b"\0" * CONTENT_OFFSET
_FREE = b"\1"
_REUSE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def is_spool_name(name: str) -> bool:
    """Whether it is the name of a spool: anything else could lead out of the directory."""
    return _NAME.fullmatch(name) is not None


def free_spool(run_dir: str, name: str) -> None:
    """Marks a spool as free; one that is gone is no trouble. Called by the writer."""
    with contextlib.suppress(OSError):
        fd = os.open(os.path.join(staging_dir(run_dir), name), _REUSE)
        try:
            os.pwrite(fd, _FREE, 0)
        finally:
            os.close(fd)


class Spools:
    """The spools of one process.

    Of several threads, and of a signal handler and the code that it interrupts, one looks for a
    free spool at a time. The others make new ones, within the limit: none waits.

    Args:
        run_dir: the run's directory.
        most_bytes: limit of all of them together.
    """

    def __init__(self, run_dir: str, most_bytes: int) -> None:
        self._staging = staging_dir(run_dir)
        self._run_dir = run_dir
        self._most_bytes = most_bytes
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._files: deque[tuple[str, int]] = deque()  # name and size, in the order of their use

    def put(self, data: memoryview | bytes) -> str | None:
        """Writes data into a spool; the name of it.

        Durability: the writer finds it whatever becomes of this process.

        Returns:
            None: there is no room before the writer frees some.

        Raises:
            OSError: the disk cannot take it.
        """
        if self._pid != os.getpid():  # a forked child: these are its parent's
            self._pid = os.getpid()
            self._files.clear()
            self._lock = threading.Lock()
        need = len(data) + CONTENT_OFFSET
        name = self._reuse(data, need) or self._make(data, need)
        if name is None and self._make_room(need):
            name = self._make(data, need)
        return name

    def _reuse(self, data: memoryview | bytes, need: int) -> str | None:
        # The one that was used last is in the processor's cache; the one before all others is the
        # first that the writer frees.
        if not self._lock.acquire(blocking=False):
            return None
        try:
            found = list(self._files)
            for file in (*found[-1:], *found[:-1][:1]):
                if self._put_into(*file, data, need):
                    return file[0]
            return None
        finally:
            self._lock.release()

    def _put_into(self, name: str, size: int, data: memoryview | bytes, need: int) -> bool:
        try:
            fd = os.open(os.path.join(self._staging, name), _REUSE)
        except FileNotFoundError:
            self._files.remove((name, size))
            return False
        try:
            if os.pread(fd, 1, 0) != _FREE:
                return False
            if need > size and self._total() - size + need > self._most_bytes:
                return False
            try:
                _write(fd, data)
            except BaseException:  # a full disk, an interrupt: nobody else would free it
                os.pwrite(fd, _FREE, 0)
                raise
        finally:
            os.close(fd)
        self._files.remove((name, size))
        self._files.append((name, max(size, need)))
        return True

    def _make(self, data: memoryview | bytes, need: int) -> str | None:
        if self._total() + need > self._most_bytes:
            return None
        name = os.urandom(8).hex() + _ENDING
        path = os.path.join(self._staging, name)
        try:
            fd = os.open(path, NEW_FILE, 0o600)
        except FileNotFoundError:
            os.mkdir(self._staging, 0o700)
            fd = os.open(path, NEW_FILE, 0o600)
        try:
            _write(fd, data)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        finally:
            os.close(fd)
        self._files.append((name, need))
        return name

    def _make_room(self, need: int) -> bool:
        """Removes free spools for a larger one; True if there is room for it now."""
        left = self._total()
        if need > self._most_bytes or not self._lock.acquire(blocking=False):
            return False
        try:
            for name, size in list(self._files):
                # They are freed in the order of their use.
                if left + need <= self._most_bytes or not self._is_free(name):
                    break
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self._staging, name))
                self._files.remove((name, size))
                left -= size
        finally:
            self._lock.release()
        return left + need <= self._most_bytes

    def _is_free(self, name: str) -> bool:
        try:
            fd = os.open(os.path.join(self._staging, name), _REUSE)
        except FileNotFoundError:
            return True
        try:
            return os.pread(fd, 1, 0) == _FREE
        finally:
            os.close(fd)

    def _total(self) -> int:
        return sum(size for _, size in list(self._files))

    def take_back(self, name: str) -> None:
        """Frees a spool whose record was not published; any other name is left alone."""
        if is_spool_name(name):
            free_spool(self._run_dir, name)


def _write(fd: int, data: memoryview | bytes) -> None:
    done = os.pwritev(fd, [_BUSY, data], 0)
    rest = memoryview(data)
    while done < len(data) + CONTENT_OFFSET:
        done += os.pwrite(fd, rest[max(0, done - CONTENT_OFFSET) :], done)
