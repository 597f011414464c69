"""Descriptors that are used and closed only while they are provably ours.

A program may close every descriptor that it does not know (`os.closerange`, daemonizing) and then
open files of its own, which get our numbers. So each number is kept with the identity of the file
that it was opened for.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys

__all__ = ["Descriptor", "duplicate_of", "is_open_as", "keep_off_streams", "map_shared"]

_FLAGS = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
_UNTRACKED = sys.version_info >= (3, 13)


class Descriptor:
    """A descriptor of this process.

    Args:
        number: the number.
        owner: the object that closes it; this one if left out.

    Attributes:
        identity: device and inode of its file.
    """

    def __init__(self, number: int, owner: object = None) -> None:
        self._number = number
        self._owner = owner
        info = os.fstat(number)
        self.identity = (info.st_dev, info.st_ino)
        if owner is None:
            self.__class__ = _OpenDescriptor

    @property
    def is_ours(self) -> bool:
        """True if the number still belongs to the file that was opened."""
        return is_open_as(self._number, self.identity)

    def number(self) -> int:
        """The number.

        Raises:
            OSError: EBADF, the program has closed it.
        """
        if not self.is_ours:
            raise OSError(errno.EBADF, "the program closed a descriptor of expman")
        return self._number

    def close(self) -> None:
        """Closes it, if it is still ours. Twice is fine."""
        number, owner = self._number, self._owner
        self._number, self._owner = -1, None
        if owner is None and number >= 0 and is_open_as(number, self.identity):
            os.close(number)
        self.__class__ = Descriptor


class _OpenDescriptor(Descriptor):
    """A descriptor that is still to be closed.

    A closed one has no `__del__`: an exception that a signal handler raises in Python code there,
    in the middle of a log call, would be swallowed.
    """

    def __del__(self) -> None:
        self.close()


def is_open_as(number: int, identity: tuple[int, int]) -> bool:
    """True if a descriptor is open for the file of this device and inode."""
    try:
        info = os.fstat(number)
    except OSError:
        return False
    return (info.st_dev, info.st_ino) == identity


def keep_off_streams() -> int:
    """Puts /dev/null where a standard stream is closed, for this process only.

    A segment, or the duplicate that each mapping keeps, would get the stream's number, and
    what a library writes to number 2 would land in shared memory.

    Returns:
        The number that the next descriptor gets, unless another thread is faster.
    """
    while (fd := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:
        continue
    os.close(fd)
    return fd


def map_shared(fd: int, size: int) -> mmap.mmap:
    """Maps a file.

    Its pages are there at once: a page fault at the first store into each costs more than
    a microsecond, and would fall into the log calls.
    """
    if _UNTRACKED:
        return mmap.mmap(fd, size, flags=_FLAGS, trackfd=False)  # type: ignore[call-arg]
    expected = keep_off_streams()
    mapping = _Mapping(fd, size, flags=_FLAGS)
    info = os.fstat(fd)
    mapping.identity = (info.st_dev, info.st_ino)
    mapping.number = mapping.find_duplicate(fd, expected)
    _numbers.add(mapping.number)
    return mapping


def duplicate_of(mapping: mmap.mmap) -> int | None:
    """The descriptor that a mapping keeps for itself; None if it has none."""
    number = getattr(mapping, "number", -1)
    return number if number >= 0 else None


_numbers: set[int] = set()
"""Descriptors of living mappings."""
_lost: list[mmap.mmap] = []


class _ClosedMapping(mmap.mmap):
    """Replaces a mapping: its end runs no Python code, see `_OpenDescriptor`."""

    number = -1
    identity = (-1, -1)


class _Mapping(_ClosedMapping):
    """A mapping that never closes a descriptor of the program's.

    Before Python 3.13 each mapping has a duplicate of the descriptor and closes that number at its
    end, whatever it is by then. A mapping that has lost its duplicate is therefore kept for good.
    """

    def find_duplicate(self, fd: int, expected: int) -> int:
        """The number of the duplicate; -1 if it cannot be found."""
        if expected not in _numbers and is_open_as(expected, self.identity):
            return expected
        try:
            there = [int(name) for name in os.listdir("/proc/self/fd")]
        except OSError:
            return -1
        known = {fd, *_numbers}
        unknown = (number for number in there if number not in known)
        return max((n for n in unknown if is_open_as(n, self.identity)), default=-1)

    def __del__(
        self,
        numbers: set[int] = _numbers,
        lost: list[mmap.mmap] = _lost,
        is_of: object = is_open_as,
    ) -> None:
        numbers.discard(self.number)
        if not is_of(self.number, self.identity):  # type: ignore[operator]
            lost.append(self)

    def close(self) -> None:
        """Unmaps it, unless that would close a descriptor of the program's."""
        if is_open_as(self.number, self.identity):
            super().close()
            _numbers.discard(self.number)
            self.__class__ = _ClosedMapping  # type: ignore[assignment]
