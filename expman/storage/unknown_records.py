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

import contextlib
import os
import re
from collections.abc import Sequence

import msgspec

from expman.storage.appendfile import AppendFile
from expman.storage.paths import (
    UNKNOWN_RECORDS,
    open_regular,
    read_regular,
    storage_error,
)

__all__ = ["UnknownRecord", "UnknownRecords", "read_unknown_records"]

_HEAD_BYTES = 64 * 1024
# What `append` writes: names are at most 255 bytes, so they end far before a head does.
_HEAD = re.compile(rb'\{"producer":"(?:[^"\\]|\\.)*","lane":(\d{1,20}),"number":(\d{1,20}),')
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
        self._next: dict[int, int] = {}  # by lane: all records below this number are there

    def append(self, records: Sequence[UnknownRecord]) -> None:
        """Appends the records that are not there yet; those of one lane come in their order.

        Durability: written when it returns; see `sync`.

        Raises:
            StorageError: nothing was appended; the same call can be made again.
        """
        if not records:
            return
        try:
            if not self._file.is_open or self._file.was_removed:
                self._open()
            new = [one for one in records if one.number >= self._next.get(one.lane, 0)]
            data = b"".join(msgspec.json.encode(one) + b"\n" for one in new)
            if self._file.kept_bytes > _KEPT_BYTES:
                self.sync()
            with self._file.appending() as write:
                write(data, "")
        except OSError as exc:
            raise storage_error(self.path, exc) from exc
        self._next |= _next_numbers(new)

    def _open(self) -> None:
        """Opens the file, finds what is in it, and cuts off a line that a kill has torn."""
        self._file.open_or_replace()
        self._next, good_bytes = _scan(self.path)
        if good_bytes < self._file.good_bytes:
            self._file.good_bytes = good_bytes
            self._file.heal()
            self._file.inherit()
            self._file.synced = False

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
            file.sync_name()
        except OSError as exc:
            raise storage_error(self.path, exc) from exc

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_unknown_records(run_dir: str) -> list[UnknownRecord]:
    """The records that a run has in the file, in the order in which they were taken.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        data = read_regular(os.path.join(run_dir, UNKNOWN_RECORDS))
    except FileNotFoundError:
        return []
    entries: list[UnknownRecord] = []
    for line in data[: data.rfind(b"\n") + 1].splitlines():  # a torn line is not a record
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            entries.append(msgspec.json.decode(line, type=UnknownRecord))
    return entries


def _next_numbers(records: Sequence[UnknownRecord]) -> dict[int, int]:
    """For each lane the number behind that of its last record."""
    return {one.lane: one.number + 1 for one in records}


def _scan(path: str) -> tuple[dict[int, int], int]:
    """The next number of each lane, and how many bytes the whole lines take.

    Only the head of a line is kept in memory: a record may be as large as a buffer, and the file
    larger than the machine's memory.
    """
    numbers: dict[int, int] = {}
    good_bytes = line_bytes = 0
    head = b""
    with open(open_regular(path), "rb") as file:
        while piece := file.readline(_HEAD_BYTES):
            head = head if line_bytes else piece
            line_bytes += len(piece)
            if not piece.endswith(b"\n"):
                continue
            if found := _HEAD.match(head):
                numbers[int(found[1])] = int(found[2]) + 1
            good_bytes, line_bytes = good_bytes + line_bytes, 0
    return numbers, good_bytes
