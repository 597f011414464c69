"""Places for segments: /dev/shm, or a private directory where that has no room.

The names in a place are those of many users. Only what belongs to this user is listed here.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

__all__ = [
    "PREFIX",
    "SHM",
    "all_places",
    "exists",
    "free_bytes",
    "fresh_number",
    "has_names_of",
    "list_names",
    "path_of",
    "place_id",
    "private_directory",
    "temporary_directory",
]

SHM = "shm"
PREFIX = "expman-"
_SHM_DIR = "/dev/shm"


def path_of(place: str, name: str) -> str:
    """Path of a segment."""
    return os.path.join(_SHM_DIR if place == SHM else place, name)


def all_places() -> list[str]:
    """The places that can hold segments of this user."""
    usual = os.path.join(temporary_directory(), f"{PREFIX}{os.getuid()}")
    if not os.path.lexists(usual) or _is_private(usual):
        return [SHM, usual]
    # Another user was there first: see `private_directory`.
    start = os.path.basename(usual) + "-"
    names = [name for name in os.listdir(temporary_directory()) if name.startswith(start)]
    others = [os.path.join(temporary_directory(), name) for name in sorted(names)]
    return [SHM, *([place for place in others if _is_private(place)] or [usual])]


def exists(place: str, name: str) -> bool:
    """True if there is a segment of this name."""
    return os.path.lexists(path_of(place, name))


def place_id(place: str) -> str:
    """Identifies a place on this machine: device and inode; "" if it does not exist."""
    try:
        info = os.stat(path_of(place, ""))
    except OSError:
        return ""
    return f"{info.st_dev}:{info.st_ino}"


def list_names(place: str, start: str = PREFIX) -> list[str]:
    """The sorted names of this user's segments in a place that begin like this.

    Raises:
        OSError: they cannot be listed at present.
    """
    return sorted(_names_of(os.getuid(), place, start))


def has_names_of(uid: int) -> bool:
    """True if a user has segments in /dev/shm."""
    return any(_names_of(uid, SHM))


def _names_of(uid: int, place: str, start: str = PREFIX) -> Iterator[str]:
    try:
        entries = os.scandir(path_of(place, ""))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    with entries:
        for entry in entries:
            if not entry.name.startswith(start):
                continue
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if info.st_uid == uid and stat.S_ISREG(info.st_mode):
                yield entry.name


def free_bytes(place: str) -> int:
    """Bytes that a place has free for this user.

    Raises:
        OSError: it does not exist.
    """
    found = os.statvfs(path_of(place, ""))
    return found.f_bavail * found.f_frsize


def fresh_number() -> int:
    """A random number, so that another user cannot take the name before us."""
    return int.from_bytes(os.urandom(8), "little") >> 1


def temporary_directory() -> str:
    """The directory for temporary files."""
    import tempfile  # seldom needed, and slow to import

    return tempfile.gettempdir()


def private_directory() -> str:
    """A directory that stands in for /dev/shm and belongs to this user alone."""
    directory = all_places()[1]
    if not os.path.lexists(directory):
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o700)
    if not _is_private(directory):
        directory += f"-{fresh_number():x}"
        os.mkdir(directory, 0o700)
    return directory


def _is_private(directory: str) -> bool:
    try:
        info = os.lstat(directory)
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & 0o077
