"""A file that grows by appends and is durable once `sync` returns, even if an fsync failed before.

Where fsync fails, Linux reports the error once and takes the pages that it could not write for
clean: the next fsync succeeds, and the bytes are nowhere ("PostgreSQL's fsyncgate", LWN 752063).
So what was appended since the last good fsync is kept in memory. After a failure it goes to a new
file, behind a copy of the bytes that are durable, and the new file takes the name.

The descriptor is kept open until the bytes are durable: a kernel may forget an error that it
cannot report to an open descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator

from expman.failpoints import hit
from expman.storage.paths import (
    NEW_FILE,
    IrregularFileError,
    create_temp,
    fsync_dir,
    open_regular,
    quarantine,
    write_all,
)

__all__ = ["AppendFile"]

_NEW = NEW_FILE | os.O_APPEND
_CHUNK_BYTES = 1024 * 1024


class AppendFile:
    """One such file. Every append is failure-atomic.

    Attributes:
        path: where it is.
        good_bytes: length of what was appended whole; what is beyond does not count.
        torn: there are bytes beyond, which could not be cut off.
        synced: all of it is durable.
        is_doubtful: an fsync failed; the next `sync` makes a new file.
        sync_point: the named point right before fsync.
        has_new_name: the name is not durable as far as is known; whoever fsyncs the directory
            sets it to False, `sync_name` for a single file.
    """

    sync_point: str

    def __init__(self, path: str, good_bytes: int = 0) -> None:
        self.path = path
        self.good_bytes = good_bytes
        self.torn = False
        self.synced = False
        self.is_doubtful = False
        self.has_new_name = True
        self._kept: list[bytes | memoryview] = []  # appended since the last good fsync
        self._kept_from = good_bytes  # where they begin
        self._fd: int | None = None
        self._sealed = False

    def create(self) -> None:
        """Creates the file; fails if anything, a link too, has its name."""
        self._fd = os.open(self.path, _NEW, 0o666)

    def open(self, *, create: bool = True) -> None:
        """Opens the file as it is; with `create`, makes it if there is none.

        Raises:
            OSError: it cannot be opened, or is not a plain file.
        """
        is_new = create and not os.path.lexists(self.path)
        if is_new:
            fd = os.open(self.path, _NEW, 0o666)
        else:
            fd = open_regular(self.path, os.O_WRONLY | os.O_APPEND)
        self.forget()
        self._fd = fd
        self.good_bytes = self._kept_from = os.fstat(fd).st_size
        self.has_new_name |= is_new

    def open_or_replace(self) -> None:
        """Opens the file, or makes it; sets aside what has its name and is not a plain file.

        Raises:
            OSError: it cannot be opened.
        """
        try:
            self.open()
        except IrregularFileError:
            quarantine(self.path)
            self.open()

    def inherit(self) -> None:
        """Takes over a file with `good_bytes` that are durable and not in memory."""
        self._kept_from = self.good_bytes
        self.synced = True

    @property
    def is_open(self) -> bool:
        """True if it holds a descriptor."""
        return self._fd is not None

    @property
    def was_removed(self) -> bool:
        """True if the open file was deleted."""
        return self._fd is not None and os.fstat(self._fd).st_nlink == 0

    @property
    def kept_bytes(self) -> int:
        """Bytes in memory because they are not durable yet."""
        return self.good_bytes - self._kept_from

    @contextlib.contextmanager
    def appending(self) -> Iterator[Callable[[bytes | memoryview, str], None]]:
        """Yields `write(data, halfway)`; all that is written in the block counts, or nothing."""
        fd = self._fd
        assert fd is not None
        if self.torn:
            self.heal()
        pieces: list[bytes | memoryview] = []

        def write(data: bytes | memoryview, halfway: str = "") -> None:
            write_all(fd, data, halfway)
            pieces.append(data)

        self.synced = False
        try:
            yield write
        except BaseException:
            self.heal()
            raise
        self.good_bytes += sum(map(len, pieces))
        self._kept += pieces

    def heal(self) -> None:
        """Cuts off what a failed append left, if that can be done."""
        self.torn = True
        with contextlib.suppress(OSError):
            if self._fd is not None:
                os.ftruncate(self._fd, self.good_bytes)
            else:
                os.truncate(self.path, self.good_bytes)
            self.torn = False

    def doubt(self) -> None:
        """Notes that the system may have lost bytes of the file, or its name."""
        self.is_doubtful = True
        self.synced = False

    def sync(self) -> None:
        """Makes its bytes durable; in a new file of that name after an fsync that failed.

        Raises:
            OSError: it is not durable; the next call tries it in a new file.
        """
        if self.synced:
            return
        if self.is_doubtful:
            self._write_again()
        else:
            self._fsync()
        self.synced = True
        self._kept.clear()
        self._kept_from = self.good_bytes
        if self._sealed:
            self.close()

    def sync_name(self) -> None:
        """Makes its name durable, unless that is known.

        Raises:
            OSError: it is not durable; the next `sync` makes a new file.
        """
        if not self.has_new_name:
            return
        try:
            fsync_dir(os.path.dirname(self.path))
        except OSError:
            self.doubt()
            raise
        self.has_new_name = False

    def _fsync(self) -> None:
        fd = open_regular(self.path) if self._fd is None else self._fd
        try:
            hit(self.sync_point)
            os.fsync(fd)
        except OSError:
            self.doubt()
            raise
        finally:
            if self._fd is None:
                os.close(fd)

    def _write_again(self) -> None:
        directory, name = os.path.split(self.path)
        fd, temp = create_temp(directory, f"-{name}")
        try:
            self._copy(fd)
            for piece in self._kept:
                write_all(fd, piece)
            hit(self.sync_point)
            os.fsync(fd)
            fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
            os.rename(temp, self.path)
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(temp)
            raise
        self.close()
        self._fd = fd
        self.torn, self.has_new_name = False, True
        fsync_dir(directory)
        self.is_doubtful = self.has_new_name = False

    def _copy(self, target: int) -> None:
        """Copies what was durable before, or was in the file when we came."""
        if not self._kept_from:
            return
        source = open_regular(self.path)
        try:
            done = 0
            while done < self._kept_from:
                chunk = os.pread(source, min(_CHUNK_BYTES, self._kept_from - done), done)
                if not chunk:
                    raise OSError(errno.EIO, "ends before its durable bytes end", self.path)
                write_all(target, chunk)
                done += len(chunk)
        finally:
            os.close(source)

    def seal(self) -> None:
        """Ends appending; the descriptor goes once all is durable."""
        self._sealed = True
        if self.synced:
            self.close()

    def forget(self) -> None:
        """Closes a file that another process has changed, and forgets what was known about it."""
        self.close()
        self._kept.clear()
        self.good_bytes = self._kept_from = 0
        self.torn = self.synced = self.is_doubtful = False

    def close(self) -> None:
        """Closes the descriptor."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)
