"""Named memory that outlives its processes. Only `transport` touches shared memory.

The rules that are kept here:
- `_posixshmem` is used, the module below `multiprocessing.shared_memory`, which opens the same
  segments (`test_multiprocessing_opens_it`). Before Python 3.13 SharedMemory starts a helper
  process and unlinks a segment when any process that used it exits, which is exactly when it must
  survive. Importing it also takes longer than all the rest of an engine's start.
- Memory is reserved before it is touched. On a small /dev/shm `ftruncate` succeeds and the first
  store kills the process with SIGBUS; `posix_fallocate` reports ENOSPC instead
  (`test_no_room_is_an_error_not_a_signal`).
- Segments have mode 0600, are created exclusively, under names that cannot be guessed, and only
  those of this user are opened.
- The program around us may close our descriptors, and others may remove names.
- Where /dev/shm has no room, a file in a private temporary directory takes its place.
"""

from __future__ import annotations

import _posixshmem  # type: ignore[import-not-found]
import contextlib
import errno
import fcntl
import mmap
import os
import stat
import struct
from collections.abc import Iterable

import msgspec

from expman.errors import ConfigError, SharedMemoryError
from expman.transport import nameless
from expman.transport.owned import Descriptor, duplicate_of, keep_off_streams, map_shared
from expman.transport.places import (
    PREFIX,
    SHM,
    fresh_number,
    path_of,
    private_directory,
    temporary_directory,
)

__all__ = [
    "Address",
    "Segment",
    "attach",
    "attach_nameless",
    "attach_to_read",
    "check_spare",
    "create",
    "create_anywhere",
    "is_locked_here",
    "link",
    "links",
    "made_at",
    "remove",
]

_FLOCK = struct.Struct("hhqqi4x")  # struct flock on 64-bit Linux: type, whence, start, len, pid


class Address(msgspec.Struct, frozen=True):
    """Meeting point of lanes and their writer: a place (SHM or a directory), a random token."""

    place: str
    token: str

    @classmethod
    def fresh(cls, place: str) -> Address:
        """Makes a new address with a token that cannot be guessed."""
        return cls(place, os.urandom(16).hex())

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads what str(address) wrote.

        Raises:
            ConfigError: the text is not an address.
        """
        place, colon, token = text.rpartition(":")
        if not colon or not place or len(token) != 32 or token.strip("0123456789abcdef"):
            raise ConfigError("address", text, "must look like shm:TOKEN or DIRECTORY:TOKEN")
        return cls(place, token)

    def __str__(self) -> str:
        return f"{self.place}:{self.token}"

    def segment(self, lane: int | None = None, slot: int | None = None) -> str:
        """Name of the address's, a lane's or a term's segment."""
        parts = [PREFIX + self.token, *(str(n) for n in (lane, slot) if n is not None)]
        return "-".join(parts)


_locked_here: set[tuple[int, str, str]] = set()


def is_locked_here(place: str, name: str) -> bool:
    """True if this process itself has locked a segment of this name, and so must not attach it."""
    return (os.getpid(), place, name) in _locked_here


class Segment:
    """A named piece of memory. Its descriptor stays open until close().

    A POSIX record lock on the descriptor shows that the locking process lives: forked children
    do not inherit it, and the kernel drops it when the process ends, whatever ends it.
    It is also dropped when the process closes *any* descriptor of the same file, so a
    process must never attach a segment that it has locked.

    Args:
        place: SHM or a directory.
        name: its name.
        fd: a descriptor of it.
        size: bytes to reserve; 0 for a segment that is there.

    Attributes:
        identity: device and inode.

    Raises:
        FileNotFoundError: its creator has not sized it yet.
        PermissionError: it is another user's, or not a plain file.
        OSError: no room.
    """

    def __init__(self, place: str, name: str, fd: int, size: int) -> None:
        self.place = place
        self.name = name
        self._descriptor = Descriptor(fd)
        self.identity = self._descriptor.identity
        found = os.fstat(fd)
        self.size = size or found.st_size
        if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode):
            # All users share the directory: a segment that another user planted under one of our
            # names, readable and writable to us, would be believed.
            self.close()
            raise PermissionError(errno.EACCES, "belongs to another user", name)
        if size:
            try:
                os.posix_fallocate(fd, 0, size)
            except OSError:
                self.unlink()
                self.close()
                raise
        elif not self.size:
            self.close()
            raise FileNotFoundError(errno.ENOENT, "not sized yet", name)

    @property
    def fd(self) -> int:
        """Its descriptor.

        Raises:
            OSError: EBADF, the program has closed it.
        """
        return self._descriptor.number()

    def map(self) -> mmap.mmap:
        """A new mapping of the whole segment, with a position of its own.

        Raises:
            OSError: no memory, no descriptor (Python keeps one for each mapping before 3.13), or
                the program has closed the segment's and it has no name any more.
        """
        if not self._descriptor.is_ours:
            self._open_again()
        return map_shared(self.fd, self.size)

    def map_for_good(self) -> mmap.mmap:
        """A mapping that is kept as long as the segment is used: one descriptor is enough for both.

        Not for a segment that this process has locked.
        """
        mapping = self.map()
        number = duplicate_of(mapping)
        if number is not None:
            self._descriptor.close()
            self._descriptor = Descriptor(number, mapping)
        return mapping

    def map_to_read(self) -> mmap.mmap:
        """A mapping that cannot be stored to."""
        return mmap.mmap(self.fd, self.size, prot=mmap.PROT_READ)

    def copy(self) -> bytes:
        """Its bytes."""
        with open(self.fd, "rb", buffering=0, closefd=False) as file:
            return file.read()

    def _open_again(self) -> None:
        again = Descriptor(_open(self.place, self.name, os.O_RDWR))
        if again.identity != self.identity:
            again.close()
            raise FileNotFoundError(errno.ENOENT, "was removed", self.name)
        self._descriptor = again

    def try_lock(self) -> bool:
        """Takes the lock that shows that this process lives, unless another process holds it."""
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (PermissionError, BlockingIOError):
            return False
        _locked_here.add((os.getpid(), self.place, self.name))
        return True

    def wait_for_lock(self) -> None:
        """Blocks until no other process holds the lock; it is not kept."""
        fcntl.lockf(self.fd, fcntl.LOCK_EX)
        fcntl.lockf(self.fd, fcntl.LOCK_UN)

    def is_locked(self) -> bool:
        """True if another process holds the lock, that is, lives.

        False if the program has closed the descriptor that would be asked. F_GETLK takes nothing:
        two processes that ask at once do not see each other as the holder. The answer holds across
        PID namespaces, and is False for a holder that is a zombie.
        """
        return self._lock()[0] != fcntl.F_UNLCK

    def holder(self) -> int | None:
        """The process that holds the lock; None if none does, or it is in another PID namespace."""
        kind, pid = self._lock()
        return pid if kind != fcntl.F_UNLCK and pid > 0 else None

    def _lock(self) -> tuple[int, int]:
        """Kind of the lock that would keep this process from taking it, and its holder."""
        if not self._descriptor.is_ours:
            return fcntl.F_UNLCK, 0
        answer = fcntl.fcntl(self.fd, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0))
        kind, _, _, _, pid = _FLOCK.unpack(answer)
        return kind, pid

    def unlink(self) -> None:
        """Removes the name; the memory goes with its last user."""
        remove(self.place, self.name)

    def close(self) -> None:
        """Closes the descriptor; mappings live on until they are dropped."""
        self._descriptor.close()


def _open(place: str, name: str, flags: int) -> int:
    keep_off_streams()
    if place == SHM:
        fd: int = _posixshmem.shm_open(f"/{name}", flags, mode=0o600)
        return fd
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(path_of(place, name), flags, 0o600)


def create(place: str, name: str, size: int) -> Segment:
    """Creates a segment whose memory is reserved and zero.

    Raises:
        FileExistsError: the name is taken.
        OSError: the place is missing or has no room (ENOSPC).
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    try:
        fd = _open(place, name, flags)
    except FileNotFoundError:
        if not os.path.basename(place).startswith(PREFIX):
            raise
        os.mkdir(place, 0o700)  # a cleaner of the temporary directory took it
        fd = _open(place, name, flags)
    return Segment(place, name, fd, size)


def attach(place: str, name: str, holders: Iterable[int] | None = ()) -> Segment:
    """Opens a segment.

    Args:
        place: SHM or a directory.
        name: its name.
        holders: processes that may have it open, for the case that its name was removed; None
            for all processes of this user.

    Raises:
        FileNotFoundError: there is none, or its creator has not sized it yet.
        PermissionError: it is another user's.
    """
    try:
        return Segment(place, name, _open(place, name, os.O_RDWR), 0)
    except FileNotFoundError:
        for path in nameless.find(name, holders).get(name, ()):
            with contextlib.suppress(FileNotFoundError, PermissionError):
                return attach_nameless(place, name, path)
        raise


def attach_to_read(place: str, name: str) -> Segment:
    """Opens a segment for reading only.

    Raises:
        OSError: there is none, or it is another user's.
    """
    return Segment(place, name, _open(place, name, os.O_RDONLY), 0)


def attach_nameless(place: str, name: str, path: str) -> Segment:
    """Opens a segment whose name was removed by a path that `nameless.find` gave.

    Raises:
        FileNotFoundError: its holder has closed it.
        PermissionError: its holder does not let us.
    """
    keep_off_streams()
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    if not nameless.is_of(fd, name):
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "closed by its holder", name)
    return Segment(place, name, fd, 0)


def link(segment: Segment, name: str) -> None:
    """Gives a segment one more name.

    Raises:
        FileExistsError: the name is taken.
        FileNotFoundError: its own was removed.
    """
    os.link(path_of(segment.place, segment.name), path_of(segment.place, name))


def remove(place: str, name: str) -> None:
    """Removes a segment by name, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path_of(place, name))


def create_anywhere(size: int, room: int) -> tuple[Address, Segment]:
    """Creates the segment of a fresh address where `room` bytes more can be had, too.

    Raises:
        SharedMemoryError: neither /dev/shm nor the temporary directory has room.
    """
    tried: list[str] = []
    code = None
    for place in (SHM, None):
        try:
            address = Address.fresh(place or private_directory())
            segment = create(address.place, address.segment(), size)
            probe = address.segment(fresh_number(), fresh_number())
            try:
                room_segment = create(address.place, probe, room)
            except OSError:
                segment.unlink()
                segment.close()
                raise
            room_segment.unlink()
            room_segment.close()
            return address, segment
        except OSError as exc:
            tried.append(f"{place or temporary_directory()}: {exc.strerror or exc}")
            code = exc.errno
    raise SharedMemoryError(size + room, tried, code)


def made_at(place: str, name: str) -> float:
    """Creation time of a segment, in seconds since the epoch.

    Raises:
        OSError: it is gone.
    """
    return os.stat(path_of(place, name)).st_mtime


def links(segment: Segment) -> int:
    """Number of the segment's names: 0 once it was removed."""
    return os.fstat(segment.fd).st_nlink


def check_spare(descriptors: int) -> None:
    """Checks that this process can open so many more descriptors.

    Raises:
        OSError: it cannot at present.
    """
    opened: list[int] = []
    try:
        for _ in range(descriptors):
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    finally:
        for fd in opened:
            os.close(fd)
