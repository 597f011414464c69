"""Which files of a run a copy in an object store has: what the process that copies notes here.

Nothing here brings pyarrow, for the writer of a run counts by it what is not copied yet.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

import msgspec

from expman.models import safe_text
from expman.storage.paths import MIRROR_JSON, TEMP_PREFIX, read_regular, replace_file

__all__ = ["Signature", "count_behind", "files_to_copy", "note_copied"]

Signature = tuple[int, int]
"""Size of a file, and its time in nanoseconds."""


class _State(msgspec.Struct):
    files: dict[str, Signature] = {}


def files_to_copy(run_dir: str, below: str = "") -> Iterator[tuple[str, str, Signature]]:
    """Yields name, path and signature of each file of a run that belongs into a copy.

    Hidden ones do not: they are there for the processes of a live run. Links are not followed. A
    name that is not UTF-8 has escapes in the copy: stores take no other ones.

    Raises:
        OSError: a directory cannot be read.
    """
    with os.scandir(os.path.join(run_dir, below)) as entries:
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.name.startswith(TEMP_PREFIX) or name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from files_to_copy(run_dir, name)
            elif entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    info = entry.stat(follow_symlinks=False)
                    yield safe_text(name), entry.path, (info.st_size, info.st_mtime_ns)


def note_copied(run_dir: str, files: Mapping[str, Signature]) -> None:
    """Notes what the store has now.

    Raises:
        StorageError: it cannot be written.
    """
    replace_file(_path(run_dir), msgspec.json.encode(_State(dict(files))), sync=False)


def count_behind(run_dir: str) -> int:
    """Returns how many files of a run are not in the store as they are now."""
    known: dict[str, Signature] = {}
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        known = msgspec.json.decode(read_regular(_path(run_dir)), type=_State).files
    try:
        return sum(known.get(name) != found for name, _, found in files_to_copy(run_dir))
    except OSError:
        return 1


def _path(run_dir: str) -> str:
    return os.path.join(run_dir, MIRROR_JSON)
