"""media.jsonl: a line of JSON for each file in media/, as expman-rs writes it.

Each line has the number of its record in its lane: a successor, or a recovery, that finds the line
does not write it again.
"""

from __future__ import annotations

import os
import re

import msgspec

from expman.errors import StorageError
from expman.storage.line_file import LineFile
from expman.storage.paths import MEDIA_JSONL, open_regular, storage_error
from expman.storage.pixels import Pixels
from expman.storage.times import iso

__all__ = ["MediaIndex", "MediaNote", "media_name"]

_UNSAFE = re.compile(r"[^\w-]")
_MOST_CHARS = 80
_BLOCK_BYTES = 1024 * 1024


class MediaNote(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be stored.

    Attributes:
        kind: "image", "audio", "video", "text", "table" or "confusion_matrix".
        tag, step: the user's.
        producer: who logged it.
        extension: of the file's name.
        pixels: how raw ones lie; None if the data is encoded already.
        size: bytes of the data.
        timestamp_ns: when it was logged.
    """

    kind: str
    tag: str
    step: int | None
    producer: str
    extension: str
    pixels: Pixels | None
    size: int
    timestamp_ns: int


def media_name(tag: str, step: int | None, extension: str, number: str) -> str:
    """Name of a file in media/: safe for every file system, the same for the same record.

    Args:
        tag: the user's; "/" becomes "_", as everything else but letters, digits, "-" and "_".
        step: the user's.
        extension: of the name.
        number: of the record; two records never share a file.
    """
    safe = _UNSAFE.sub("_", tag)[:_MOST_CHARS]
    while len(safe.encode()) > 2 * _MOST_CHARS:
        safe = safe[:-1]
    parts = [safe] if step is None else [safe, f"{step:08d}"]
    import hashlib  # with OpenSSL, 4 MB that most runs do not need

    digest = hashlib.blake2b(number.encode(), digest_size=6).hexdigest()
    return f"{'-'.join((*parts, digest))}.{_UNSAFE.sub('', extension)[:16] or 'bin'}"


class MediaIndex(LineFile):
    """The media.jsonl of one run."""

    file_name = MEDIA_JSONL
    point = "media"

    def add(self, note: MediaNote, number: str, file: str, size: int, *, sync: bool = True) -> None:
        """Appends a line.

        Durability: durable when it returns if `sync`, otherwise written.

        Raises:
            StorageError: it is not there, or not durable; see `has`.
        """
        line = {
            "bytes": size,
            "file": file,
            "id": number,
            "kind": note.kind,
            "logged_at": iso(note.timestamp_ns),
            "producer": note.producer,
            "step": note.step,
            "tag": note.tag,
        }
        self.append_text(msgspec.json.encode(line).decode() + "\n")
        if sync:
            self.sync()

    def has(self, number: str) -> bool:
        """Whether a whole line has this number.

        Raises:
            StorageError: the file cannot be read.
        """
        wanted = b'"id":"' + number.encode() + b'"'
        try:
            fd = open_regular(self.path)
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise storage_error(self.path, exc) from exc
        with os.fdopen(fd, "rb") as file:
            return any(wanted in line and line.endswith(b"\n") for line in file)

    def cut_torn_line(self) -> None:
        """Removes what a killed writer left of a line: its request is there, and it comes again.

        Raises:
            StorageError: it cannot be done.
        """
        size = self.size()
        if not size:
            return
        try:
            fd = open_regular(self.path)
            try:
                start = max(0, size - _BLOCK_BYTES)
                tail = os.pread(fd, size - start, start)
            finally:
                os.close(fd)
        except OSError as exc:
            raise storage_error(self.path, exc) from exc
        end = start + tail.rfind(b"\n") + 1
        if end == start and start:
            raise StorageError(self.path, "has no line end in its last MiB: it is damaged")
        self.truncate(end)
