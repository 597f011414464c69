"""Names of the files of a run, and how one is replaced without ever being half there.

A reader sees the old bytes or the new ones, never a part: new bytes go to a temporary file in
the same directory, are fsynced, and take the name by one rename. A symbolic link that somebody
planted at one of our names is replaced by that rename or refused by an append; it is never
followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat

from expman.errors import StorageError
from expman.failpoints import awaits, hit

__all__ = [
    "ARTIFACTS",
    "ATTEMPT_MARK",
    "CATALOG",
    "CONFIG_YAML",
    "CONSOLE_LOG",
    "EDIT_JSON",
    "EDIT_TAKEN_JSON",
    "EXPERIMENT_YAML",
    "HISTOGRAMS",
    "IMPORT_JSON",
    "LIVE_STACKS",
    "MEDIA",
    "MEDIA_JSONL",
    "NEW_FILE",
    "NOTES_MD",
    "OPEN_DIRECTORY",
    "OPEN_SOURCE",
    "POST_MORTEM_JSON",
    "POST_MORTEM_MD",
    "PROVENANCE_YAML",
    "RANKS_PARQUET",
    "RUN_JOURNAL",
    "RUN_LOG",
    "RUN_YAML",
    "SCALARS_JSON",
    "STACKS",
    "STAGING",
    "SYSTEM",
    "TEMP_PREFIX",
    "UNKNOWN_RECORDS",
    "VECTORS",
    "VECTORS_PARQUET",
    "IrregularFileError",
    "create_temp",
    "fsync_dir",
    "fsync_open_dir",
    "has_tail",
    "is_regular",
    "is_run_file",
    "of_attempt",
    "open_regular",
    "parquet_name",
    "quarantine",
    "read_regular",
    "remove_stale_temps",
    "replace_file",
    "storage_error",
    "superseded_name",
    "superseded_number",
    "tail_name",
    "tail_number",
    "write_all",
]

RUN_YAML = "run.yaml"
RUN_JOURNAL = ".run.journal"
CATALOG = ".catalog"
CONFIG_YAML = "config.yaml"
EXPERIMENT_YAML = "experiment.yaml"
VECTORS = "vectors"
"""Stem of the names of the files that have the rows that were logged."""
SYSTEM = "system"
"""Stem of the names of the files that have the samples of the machine."""
HISTOGRAMS = "histograms"
"""Stem of the names of the files that have the histograms."""
VECTORS_PARQUET = f"{VECTORS}.parquet"
RANKS_PARQUET = "ranks.parquet"
"""Roll-up of the rows over ranks; made of vectors.parquet, and never needed."""
ATTEMPT_MARK = ".attempt-"
"""Start of the name of the file that an attempt after the first one makes to claim its number."""
PROVENANCE_YAML = "provenance.yaml"
SCALARS_JSON = "scalars.json"
EDIT_JSON = ".edit.json"
"""A change of run.yaml that another process has asked for; see run_edits.py."""
EDIT_TAKEN_JSON = ".edit-taken.json"
NOTES_MD = "notes.md"
"""What people have written about the run; the writer never touches it."""
RUN_LOG = "run.log"
CONSOLE_LOG = "console.log"
STACKS = "stacks"
LIVE_STACKS = ".stacks"
"""Where the processes of a live run write their stacks when they are asked."""
POST_MORTEM_JSON = "postmortem.json"
POST_MORTEM_MD = "postmortem.md"
UNKNOWN_RECORDS = "unknown_records.jsonl"
IMPORT_JSON = "import.json"
"""Where an imported run comes from, and what was left out."""
ARTIFACTS = "artifacts"
MEDIA = "media"
MEDIA_JSONL = "media.jsonl"
STAGING = ".artifacts-staging"
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags that make a file, and fail if anything, a link too, has its name."""
OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
OPEN_SOURCE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""Flags that open a file of the user's without waiting, even if it is a pipe."""
TEMP_PREFIX = ".expman-tmp-"

MIRROR_JSON = ".mirror.json"
MIRROR_LOCK = ".mirror.lock"
_OURS = frozenset(
    {
        *(RUN_YAML, RUN_JOURNAL, CONFIG_YAML, VECTORS_PARQUET, RANKS_PARQUET, SCALARS_JSON),
        *(RUN_LOG, ARTIFACTS, STAGING, UNKNOWN_RECORDS, PROVENANCE_YAML),
        *(CONSOLE_LOG, STACKS, LIVE_STACKS, POST_MORTEM_JSON, POST_MORTEM_MD),
        *(MEDIA, MEDIA_JSONL, IMPORT_JSON),
        *(NOTES_MD, EDIT_JSON, EDIT_TAKEN_JSON),
        *(MIRROR_JSON, MIRROR_LOCK),
    }
)
# Compiled when they are needed: a trainer needs none of them.
_SUPERSEDED = r"superseded-(\d{4,})\.parquet"
_OF_ATTEMPT = r"\.attempt-\d+(?=\.)"
_SET_ASIDE = r"\.corrupt(-\d+)?$"
_TAIL = r"([a-z]+)-(\d{4,})\.arrow"
_STEMS = (VECTORS, SYSTEM, HISTOGRAMS)
_FILE_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)


class IrregularFileError(OSError):
    """A pipe, a device, a link or a directory has the name of one of our files."""


def parquet_name(stem: str) -> str:
    """Name of the file that has the rows of a table: `vectors.parquet`."""
    return f"{stem}.parquet"


def tail_name(number: int, stem: str = VECTORS) -> str:
    """Name of a live tail's file `number`: `vectors-0001.arrow`."""
    return f"{stem}-{number:04d}.arrow"


def tail_number(name: str, stem: str = VECTORS) -> int | None:
    """The number in the name of a table's tail file; None if it is not such a name."""
    match = re.fullmatch(_TAIL, name)
    return int(match[2]) if match and match[1] == stem else None


def superseded_name(number: int) -> str:
    """Name of a file with superseded rows; numbers begin with 1."""
    return f"superseded-{number:04d}.parquet"


def superseded_number(name: str) -> int | None:
    """The number in the name of a file with superseded rows; None for another name."""
    found = re.fullmatch(_SUPERSEDED, name)
    return None if found is None else int(found[1])


def of_attempt(name: str, attempt: int) -> str:
    """Name that a file of a run gets when a later attempt makes its own."""
    stem, dot, kind = name.rpartition(".")
    return f"{stem}.attempt-{attempt}{dot}{kind}"


def has_tail(run_dir: str, stem: str) -> bool:
    """True if a run has a live tail of a table.

    Raises:
        OSError: its directory cannot be read.
    """
    return any(tail_number(name, stem) is not None for name in os.listdir(run_dir))


def is_run_file(name: str) -> bool:
    """True if expman writes a file or directory of that name into a run's directory."""
    name = re.sub(_OF_ATTEMPT, "", re.sub(_SET_ASIDE, "", name))
    if name in _OURS or superseded_number(name) is not None or name.startswith(ATTEMPT_MARK):
        return True
    if name.startswith(TEMP_PREFIX):
        return True
    return any(name == parquet_name(s) or tail_number(name, s) is not None for s in _STEMS)


def storage_error(path: str, exc: BaseException) -> StorageError:
    """Returns a StorageError about `path` with the system's message."""
    detail = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return StorageError(path, detail or type(exc).__name__)


def replace_file(path: str, data: bytes | memoryview, *, sync: bool = True) -> None:
    """Gives `path` the content `data`, atomically.

    Durability: durable when it returns if `sync`, otherwise written.

    Raises:
        StorageError: the old content is untouched, and no temporary file is left.
    """
    directory = os.path.dirname(path) or "."
    temp = None
    try:
        hit("replace")
        fd, temp = create_temp(directory)
        try:
            write_all(fd, data, "replace-half-written")
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        hit("replace-before-rename")
        os.rename(temp, path)
        temp = None
        hit("replace-after-rename")
        if sync:
            fsync_dir(directory)
    except OSError as exc:
        raise storage_error(path, exc) from exc
    finally:
        if temp is not None:
            with contextlib.suppress(OSError):
                os.unlink(temp)


def create_temp(directory: str, name: str = "") -> tuple[int, str]:
    """Creates an empty temporary file that no one else can have planted; fd and path.

    Its own name ends with `name`, for those who look on.

    Its mode is what the umask leaves, as for any other file that the user makes.
    """
    path = os.path.join(directory, TEMP_PREFIX + os.urandom(8).hex() + name)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o666), path


def write_all(fd: int, data: bytes | memoryview, halfway: str = "") -> None:
    """Writes every byte, however the system cuts the writes.

    Args:
        fd: where to.
        data: what.
        halfway: the named point in its middle.
    """
    view = memoryview(data).cast("B")
    if halfway and awaits(halfway) and len(view) > 1:
        half = len(view) // 2
        write_all(fd, view[:half])
        hit(halfway)
        view = view[half:]
    while view:
        written = os.write(fd, view)
        if written == 0:
            raise OSError(errno.EIO, "write() took no bytes")
        view = view[written:]


def fsync_dir(directory: str) -> None:
    """Makes the names in a directory durable, where the file system offers that."""
    fd = os.open(directory, OPEN_DIRECTORY)
    try:
        fsync_open_dir(fd)
    finally:
        os.close(fd)


def fsync_open_dir(fd: int) -> None:
    """The same for a directory that is open."""
    try:
        hit("dir-sync")
        os.fsync(fd)
    except OSError as exc:
        if exc.errno not in _NOT_SUPPORTED:  # some FUSE and SMB mounts know no such thing
            raise


def is_regular(path: str) -> bool:
    """True if `path` itself is a plain file: not a link to one, not a pipe, not absent."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def open_regular(
    path: str, flags: int = os.O_RDONLY, *, follow: bool = False, dir_fd: int | None = None
) -> int:
    """Opens a plain file and returns its descriptor. Never waits.

    A pipe would block the open until somebody writes, and a device may do anything. Both are
    refused before they are opened, and once more after it, in case they were put there between.

    Args:
        path: the file.
        flags: for os.open, besides O_CLOEXEC and O_NONBLOCK.
        follow: also open what a symbolic link leads to, as readers do: git-annex and DVC keep
            large files that way. Whoever writes never follows.
        dir_fd: the directory that `path` is relative to.

    Raises:
        IrregularFileError: it is something else than a plain file.
        OSError: it cannot be opened.
    """
    info = os.stat(path, dir_fd=dir_fd, follow_symlinks=follow)
    _refuse_irregular(path, info.st_mode)
    extra = os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    fd = os.open(path, flags | extra, dir_fd=dir_fd)
    try:
        _refuse_irregular(path, os.fstat(fd).st_mode)
    except OSError:
        os.close(fd)
        raise
    return fd


def read_regular(
    path: str, *, most_bytes: int = -1, follow: bool = False, dir_fd: int | None = None
) -> bytes:
    """Returns what is in a plain file, or its first `most_bytes`; see `open_regular`.

    Raises:
        IrregularFileError: it is something else than a plain file.
        OSError: it cannot be read.
    """
    with os.fdopen(open_regular(path, follow=follow, dir_fd=dir_fd), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        # One more than there is finds the end; memory for `most_bytes` would be made beforehand.
        data = file.read(size + 1 if most_bytes < 0 else min(size + 1, most_bytes))
        if len(data) <= size:
            return data
        return data + file.read(most_bytes if most_bytes < 0 else most_bytes - len(data))


def _refuse_irregular(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _FILE_KINDS.get(stat.S_IFMT(mode), "something else")
        raise IrregularFileError(errno.EINVAL, f"expected a regular file, found {kind}", path)


def quarantine(path: str) -> str:
    """Renames what is at `path` to a free `<path>.corrupt` name, which it returns."""
    for suffix in ("", *(f"-{number}" for number in range(1, 10_000))):
        target = f"{path}.corrupt{suffix}"
        if not os.path.lexists(target):
            os.rename(path, target)
            return target
    raise OSError(errno.EEXIST, "too many .corrupt files")


def remove_stale_temps(directory: str) -> None:
    """Removes temporary files that a killed writer left; a run has one writer at a time."""
    with os.scandir(directory) as entries:
        stale = [entry.path for entry in entries if entry.name.startswith(TEMP_PREFIX)]
    for path in stale:
        with contextlib.suppress(OSError):
            os.unlink(path)
