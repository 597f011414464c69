"""Copies the bytes of a file: shares them where the file system can, keeps holes, mode and mtime.

Used at both ends: by the trainer for a snapshot, by the writer for the artifact. It imports
neither pyarrow nor yaml.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator

from expman.failpoints import awaits, hit

__all__ = [
    "Stopped",
    "TargetError",
    "clone",
    "copy_bytes",
    "copy_to_the_end",
    "keep_mode_and_times",
    "putting",
]

FICLONE = 0x40049409
CHUNK_BYTES = 16 * 1024 * 1024
READ_BYTES = 1024 * 1024
_NO_HOLES = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


class Stopped(Exception):
    """A copy was stopped on request."""


class TargetError(OSError):
    """A failure on the side of the copy; any other OSError is the source's."""


@contextlib.contextmanager
def putting() -> Iterator[None]:
    """Marks what fails here as the target's trouble."""
    try:
        yield
    except OSError as exc:
        raise TargetError(exc.errno, exc.strerror or str(exc), exc.filename) from exc


def clone(source_fd: int, fd: int) -> bool:
    """Makes the new file share the bytes of the source (reflink); False if that is impossible."""
    try:
        fcntl.ioctl(fd, FICLONE, source_fd)
    except OSError:
        return False
    return True


def copy_bytes(
    source_fd: int,
    fd: int,
    stopped: Callable[[], bool] = lambda: False,
    halfway: str = "",
) -> None:
    """Copies a file into an empty one: by copy_file_range where possible; holes stay holes.

    Args:
        source_fd: a regular file, open for reading.
        fd: the new file, open for writing.
        stopped: asked before each chunk.
        halfway: the named point in the middle.

    Raises:
        Stopped: `stopped` has returned True.
        TargetError: the copy cannot be written.
        OSError: the source cannot be read.
    """
    size = os.fstat(source_fd).st_size
    if not size:  # also the files of /proc, which do not know their size
        copy_to_the_end(source_fd, fd, stopped)
        return
    middle = size // 2 if halfway and awaits(halfway) else 0
    position = 0
    while (extent := _next_data(source_fd, position, size)) is not None:
        start, end = extent
        if position <= middle < end and middle:
            _copy_range(source_fd, fd, start, max(start, middle), stopped)
            with putting():
                hit(halfway)
            start = max(start, middle)
        _copy_range(source_fd, fd, start, end, stopped)
        position = end
    with putting():
        os.ftruncate(fd, size)


def _next_data(fd: int, position: int, size: int) -> tuple[int, int] | None:
    """The next stretch that has data, not a hole."""
    if position >= size:
        return None
    try:
        start = os.lseek(fd, position, os.SEEK_DATA)
        return start, min(os.lseek(fd, start, os.SEEK_HOLE), size)
    except OSError as exc:
        if exc.errno == errno.ENXIO:
            return None
        if exc.errno not in _NO_HOLES:
            raise
    return position, size


def _copy_range(source_fd: int, fd: int, start: int, end: int, stopped: Callable[[], bool]) -> None:
    in_kernel = True
    while start < end:
        if stopped():
            raise Stopped
        copied = 0
        if in_kernel:
            # What fails here is tried by read and write, which say on which side it fails.
            with contextlib.suppress(OSError):
                chunk = min(CHUNK_BYTES, end - start)
                copied = os.copy_file_range(source_fd, fd, chunk, start, start)
            in_kernel = copied > 0
        if not copied:
            data = os.pread(source_fd, min(READ_BYTES, end - start), start)
            if not data:
                return  # the source has become shorter
            _write_at(fd, data, start)
            copied = len(data)
        start += copied


def copy_to_the_end(source_fd: int, fd: int, stopped: Callable[[], bool]) -> None:
    """Copies a file by reading it, also one that does not know its size; see `copy_bytes`."""
    position = 0
    while data := os.pread(source_fd, READ_BYTES, position):
        if stopped():
            raise Stopped
        _write_at(fd, data, position)
        position += len(data)


def _write_at(fd: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        with putting():
            written = os.pwrite(fd, view, position)
        position += written
        view = view[written:]


def keep_mode_and_times(fd: int, source: os.stat_result) -> None:
    """Gives the new file the permissions of the source (no setuid, setgid or sticky) and its mtime.

    Where the file system has no permissions or times of its own, that is not an error.
    """
    with contextlib.suppress(PermissionError):
        os.fchmod(fd, stat.S_IMODE(source.st_mode) & 0o777)
    with contextlib.suppress(PermissionError):
        os.utime(fd, ns=(source.st_atime_ns, source.st_mtime_ns))
