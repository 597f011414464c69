"""Named memory that outlives its processes. Nothing else touches shared memory.

The rules, all kept here:
- no multiprocessing, but the module that its SharedMemory is made of, which opens these
  segments as well (`test_multiprocessing_opens_it`): before Python 3.13 SharedMemory starts a
  helper process, and unlinks a segment when any process that used it exits, which is exactly
  when it must survive; and importing it takes longer than all the rest of an engine's start;
- memory is reserved before it is touched: on a small /dev/shm `ftruncate` succeeds and
  the first store kills the process with SIGBUS, `posix_fallocate` says ENOSPC instead;
- mode 0600, exclusive creation, names from 128 random bits, only what is this user's own;
- where /dev/shm has no room, a file in a private temporary directory takes its place.
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
from collections.abc import Iterator

import msgspec

from expman.errors import ConfigError, SharedMemoryError

__all__ = [
    "SHM",
    "Address",
    "Segment",
    "attach",
    "create",
    "create_anywhere",
    "exists",
    "has_names_of",
    "is_locked_here",
    "links",
    "list_names",
    "place_id",
    "places",
    "remove",
]

SHM = "shm"
PREFIX = "expman-"
_SHM_DIR = "/dev/shm"
_FLOCK = struct.Struct("hhqqi4x")  # struct flock on 64-bit Linux: type, whence, start, len, pid


class Address(msgspec.Struct, frozen=True):
    """Where lanes meet their writer: a place (SHM or a directory) and a random token."""

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
            ConfigError: if it is no address.
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
    """Whether this process itself has locked a segment of this name, and so must not attach it."""
    return (os.getpid(), place, name) in _locked_here


_POPULATE = getattr(mmap, "MAP_POPULATE", 0)


class Segment:
    """A named piece of memory, mapped. Its descriptor stays open until close().

    A POSIX record lock on the descriptor tells that the locking process lives: it is not
    inherited by forked children and the kernel drops it at death, whatever the death.
    It is also dropped when the process closes *any* descriptor of the same file, so a
    process must never attach a segment that it has locked.
    """

    def __init__(self, place: str, name: str, size: int) -> None:
        """Creates (size > 0) or attaches (size 0) the segment; use create() and attach()."""
        self.place = place
        self.name = name
        self.fd = -1
        _keep_off_streams()
        self.fd = _open(place, name, os.O_RDWR | (os.O_CREAT | os.O_EXCL if size else 0))
        found = os.fstat(self.fd)
        self.size = size or found.st_size
        if found.st_uid != os.geteuid():
            # The directory is everybody's: what another user planted under one of our names,
            # readable and writable to us, would be believed.
            self.close()
            raise PermissionError(errno.EACCES, "belongs to another user", name)
        if size:
            try:
                os.posix_fallocate(self.fd, 0, size)
            except OSError:
                self.unlink()
                self.close()
                raise
        elif not self.size:
            self.close()
            raise FileNotFoundError(errno.ENOENT, "not sized yet", name)

    def map(self) -> mmap.mmap:
        """A new mapping of the whole segment, with a position of its own.

        Its pages are there at once: a page fault at the first store into each costs more than
        a microsecond, and would fall into the log calls.
        """
        return mmap.mmap(self.fd, self.size, flags=mmap.MAP_SHARED | _POPULATE)

    def try_lock(self) -> bool:
        """Takes the lock that means "the locking process lives", unless another holds it."""
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
        """Whether another process holds the lock, that is, lives.

        F_GETLK only asks: two who ask at once do not take each other for the holder. The
        answer holds across PID namespaces, and for a holder that is a zombie it is no.
        """
        answer = fcntl.fcntl(self.fd, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0))
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)

    def unlink(self) -> None:
        """Removes the name; the memory goes with its last user."""
        remove(self.place, self.name)

    def close(self) -> None:
        """Closes the descriptor; mappings live on until they are dropped."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    __del__ = close  # like a file: a look at a lane need not end with one


def _path(place: str, name: str) -> str:
    return os.path.join(_SHM_DIR if place == SHM else place, name)


def _open(place: str, name: str, flags: int) -> int:
    if place == SHM:
        fd: int = _posixshmem.shm_open(f"/{name}", flags, mode=0o600)
        return fd
    return os.open(_path(place, name), flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _keep_off_streams() -> None:
    """Puts /dev/null where a standard stream is closed, for this process only.

    A segment, or the duplicate that each mapping keeps, would get the stream's number, and
    what a library writes to number 2 would land in shared memory.
    """
    while (fd := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:
        continue
    os.close(fd)


def create(place: str, name: str, size: int) -> Segment:
    """Creates a segment whose memory is reserved and zero.

    Raises:
        FileExistsError: the name is taken.
        OSError: the place is missing or has no room (ENOSPC).
    """
    return Segment(place, name, size)


def attach(place: str, name: str) -> Segment:
    """Opens a segment.

    Raises:
        FileNotFoundError: there is none, or its creator has not sized it yet.
        PermissionError: it is another user's.
    """
    return Segment(place, name, 0)


def remove(place: str, name: str) -> None:
    """Removes a segment by name, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(place, name))


def create_anywhere(size: int, room: int) -> tuple[Address, Segment]:
    """Creates the segment of a fresh address where `room` bytes more can be had, too.

    Raises:
        SharedMemoryError: neither /dev/shm nor the temporary directory has room.
    """
    tried: list[str] = []
    for place in (SHM, None):
        try:
            address = Address.fresh(place or _private_directory())
            segment = create(address.place, address.segment(), size)
            probe = address.segment(0, 0) + "-probe"
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
            tried.append(f"{place or _temporary()}: {exc.strerror or exc}")
    raise SharedMemoryError(size + room, tried)


def places() -> list[str]:
    """Where this user's segments can be."""
    directory = os.path.join(_temporary(), f"{PREFIX}{os.getuid()}")
    return [SHM, directory]


def exists(place: str, name: str) -> bool:
    """Whether there is a segment of this name."""
    return os.path.lexists(_path(place, name))


def links(segment: Segment) -> int:
    """How many names the segment has: 0 once it was removed."""
    return os.fstat(segment.fd).st_nlink


def place_id(place: str) -> str:
    """What tells one place's memory from another's on the same machine: device and inode."""
    try:
        info = os.stat(_path(place, ""))
    except OSError:
        return ""
    return f"{info.st_dev}:{info.st_ino}"


def list_names(place: str) -> list[str]:
    """Names of this user's segments in a place, sorted."""
    return sorted(_names_of(os.getuid(), place))


def has_names_of(uid: int) -> bool:
    """Whether a user has segments in /dev/shm."""
    return any(_names_of(uid, SHM))


def _names_of(uid: int, place: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(_path(place, "")))
    except OSError:
        return
    for entry in entries:
        if not entry.name.startswith(PREFIX):
            continue
        try:
            info = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if info.st_uid == uid and stat.S_ISREG(info.st_mode):
            yield entry.name


def _temporary() -> str:
    import tempfile  # seldom needed, and slow to import

    return tempfile.gettempdir()


def _private_directory() -> str:
    """The directory that stands in for /dev/shm: ours alone, or an error."""
    directory = places()[1]
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        info = os.lstat(directory)
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o077:
            raise PermissionError(
                errno.EPERM, "exists, but is not a private directory of this user", directory
            ) from None
    return directory
