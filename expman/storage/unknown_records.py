"""unknown_records.jsonl: records of kinds that the writer did not know, kept byte for byte.

A client may be newer than the writer that it uses. What the writer cannot place goes to this
file, so that a later version of expman, or a person, can read it. It has a line of JSON for each
record, in the order in which the records were taken:

    {"producer": "main", "lane": 7, "number": 12, "record": "lCgHzxgg…"}

`producer` is the name that the producer's rows carry. `lane` and `number` identify the record: no
two lines have both in common. `record` has the bytes as they were logged, in base64: a msgpack
array of tag, ordinal, nanoseconds since the epoch and the fields of that kind.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

from expman.storage.appendfile import AppendFile
from expman.storage.paths import (
    UNKNOWN_RECORDS,
    IrregularFileError,
    fsync_dir,
    quarantine,
    read_regular,
    storage_error,
)

__all__ = ["UnknownRecord", "UnknownRecords", "read_unknown_records"]

_KEPT_BYTES = 1024 * 1024
"""No more bytes than that are kept in memory until they are durable."""


class UnknownRecord(msgspec.Struct, frozen=True):
    """A line of the file; its fields are described above."""

    producer: str
    lane: int
    number: int
    record: bytes


class _File(AppendFile):
    sync_point = "unknown-sync"


class UnknownRecords:
    """The file of one run. It is made with the first record."""

    def __init__(self, run_dir: str) -> None:
        self.path = os.path.join(run_dir, UNKNOWN_RECORDS)
        self._file = _File(self.path)
        self._known: set[tuple[int, int]] = set()

    def append(self, records: Sequence[UnknownRecord]) -> None:
        """Appends the records that are not there yet.

        Durability: written when it returns; see `sync`.

        Raises:
            StorageError: nothing was appended; the same call can be made again.
        """
        if not records:
            return
        try:
            if not self._file.is_open or self._file.was_removed:
                self._open()
            new = [one for one in records if (one.lane, one.number) not in self._known]
            data = b"".join(msgspec.json.encode(one) + b"\n" for one in new)
            if self._file.kept_bytes > _KEPT_BYTES:
                self.sync()
            with self._file.appending() as write:
                write(data, "")
        except OSError as exc:
            raise storage_error(self.path, exc) from exc
        self._known.update((one.lane, one.number) for one in new)

    def _open(self) -> None:
        """Opens the file, finds what is in it, and cuts off a line that a kill has torn."""
        try:
            self._file.open()
        except IrregularFileError:
            quarantine(self.path)
            self._file.open()
        entries, good_bytes = _read(self.path)
        if good_bytes < self._file.good_bytes:
            self._file.good_bytes = good_bytes
            self._file.heal()
            self._file.inherit()
            self._file.synced = False
        self._known = {(one.lane, one.number) for one in entries}

    def sync(self) -> None:
        """Makes durable what was written.

        Raises:
            StorageError: it is not; the next call tries again.
        """
        file = self._file
        if not file.is_open:
            return
        try:
            file.sync()
            if file.has_new_name:
                self._sync_name()
        except OSError as exc:
            raise storage_error(self.path, exc) from exc

    def _sync_name(self) -> None:
        try:
            fsync_dir(os.path.dirname(self.path))
        except OSError:
            self._file.doubt()
            raise
        self._file.has_new_name = False

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_unknown_records(run_dir: str) -> list[UnknownRecord]:
    """The records that a run has in the file, in the order in which they were taken.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        return _read(os.path.join(run_dir, UNKNOWN_RECORDS))[0]
    except FileNotFoundError:
        return []


def _read(path: str) -> tuple[list[UnknownRecord], int]:
    """The whole lines, and how many bytes they take."""
    data = read_regular(path)
    entries: list[UnknownRecord] = []
    end = 0
    for line in data.splitlines(keepends=True):
        try:
            entries.append(msgspec.json.decode(line, type=UnknownRecord))
        except (msgspec.DecodeError, UnicodeDecodeError):
            break
        if not line.endswith(b"\n"):
            entries.pop()
            break
        end += len(line)
    return entries, end
