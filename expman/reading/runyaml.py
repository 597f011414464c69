"""Reader of run.yaml: fast for a list of runs, complete for one run.

Parsing 10,000 YAML files takes about ten seconds even in C. A list needs four keys of each file,
and each of them has a line of its own: a line of a block mapping that does not begin with a space
is a key of the top level (YAML 1.2, "Block Mappings"), whatever else the file contains.
"""

from __future__ import annotations

import datetime
import os
import re
import time

from expman.errors import StorageError
from expman.metadata import RunMetadata
from expman.models import RunStatus
from expman.storage.paths import RUN_YAML, open_regular, storage_error
from expman.storage.times import parse_time
from expman.storage.yamlfile import MAX_YAML_BYTES, parse_yaml, to_metadata

__all__ = ["RunYaml", "has_ended"]

_KEYS = re.compile(
    rb"^(status|started_at|finished_at|heartbeat_at|group): *([^\s#&*!|>\[\]{}%@`]*)$", re.M
)
_TAGS = re.compile(rb"^tags: *\r?\n((?: *- .*\r?\n)+)", re.M)
_PLAIN_TAG = re.compile(rb" *- ([A-Za-z][\w./+=@-]*(?::[\w./+=@-]+)*)\r?")
_NO_TEXT = frozenset({b"null", b"true", b"false"})
_EMPTY_S = 0.1


class RunYaml:
    """The run.yaml of a run at one moment.

    Raises:
        FileNotFoundError: the run has no run.yaml.
        StorageError: it cannot be read.
    """

    def __init__(self, run_dir: str) -> None:
        self.path = os.path.join(run_dir, RUN_YAML)
        try:
            self.data, info = _read(self.path)
            # expman-rs 0.5 empties the file before it writes it anew.
            while not self.data and 0 <= time.time() - info.st_mtime < _EMPTY_S:
                time.sleep(0.002)
                self.data, info = _read(self.path)
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise storage_error(self.path, exc) from exc
        self.signature = (info.st_ino, info.st_mtime_ns, info.st_size)
        self._whole: dict[str, object] | None = None
        self._scanned: dict[bytes, bytes] | None = None

    def is_current(self) -> bool:
        """Returns whether the file is still the one that was read; renames replace it."""
        try:
            info = os.stat(self.path)
        except OSError:
            return False
        return self.signature == (info.st_ino, info.st_mtime_ns, info.st_size)

    @property
    def whole(self) -> dict[str, object]:
        """The whole mapping.

        Raises:
            StorageError: it is not a YAML mapping.
        """
        if self._whole is None:
            self._whole = parse_yaml(self.path, self.data)
        return self._whole

    def metadata(self) -> RunMetadata:
        """The decoded file.

        Raises:
            StorageError: a value is not what its key asks for.
        """
        self.status  # noqa: B018 - raises an error that lists the statuses
        return to_metadata(self.path, dict(self.whole))

    def text(self, key: str) -> str | None:
        """Returns a plain value of the top level as text; None if it is null or absent."""
        if self._scanned is None:
            self._scanned = dict(_KEYS.findall(self.data))
        found = self._scanned.get(key.encode())
        if found is None or not found.isascii():
            value = self.whole.get(key)
            if isinstance(value, datetime.datetime):
                return value.isoformat()
            return None if value is None else str(value)
        text = found.decode()
        return None if text in ("", "~", "null") else text.strip("'\"")

    @property
    def is_ours(self) -> bool:
        """Whether expman wrote it, and not expman-rs.

        Raises:
            StorageError: it is not a YAML mapping.
        """
        return b"\nrows_logged: " in self.data or "rows_logged" in self.whole

    @property
    def status(self) -> RunStatus:
        """The status.

        Raises:
            StorageError: the status is missing or unknown.
        """
        text = self.text("status")
        try:
            return RunStatus.parse(text or "")
        except ValueError as exc:
            raise StorageError(self.path, str(exc)) from None

    @property
    def started_at(self) -> datetime.datetime | None:
        """Start of the run."""
        return parse_time(self.text("started_at"))

    @property
    def sort_key(self) -> str | datetime.datetime:
        """Start of the run, as text in UTC that sorts by time."""
        text = self.text("started_at") or ""
        if text.endswith("Z") and text[10:11] == "T":
            return text[:-1]
        moment = parse_time(text)
        return "" if moment is None else moment.astimezone(datetime.UTC).isoformat()[:-6]

    @property
    def group(self) -> str | None:
        """The group that the run belongs to."""
        return self.text("group")

    @property
    def tags(self) -> list[str]:
        """The tags."""
        block = _TAGS.search(self.data)
        if block is None and b"\ntags: null\n" in self.data:
            return []
        if block is not None:
            lines = block[1].splitlines()
            plain = [match[1] for line in lines if (match := _PLAIN_TAG.fullmatch(line))]
            if len(plain) == len(lines) and not any(tag.lower() in _NO_TEXT for tag in plain):
                return [tag.decode() for tag in plain]
        found = self.whole.get("tags")
        return [str(tag) for tag in found] if isinstance(found, list) else []


def has_ended(run_dir: str) -> bool:
    """Returns whether a run has ended; a run without a run.yaml has just begun."""
    try:
        return RunYaml(run_dir).status is not RunStatus.RUNNING
    except (FileNotFoundError, StorageError):
        return False


def _read(path: str) -> tuple[bytes, os.stat_result]:
    fd = open_regular(path, follow=True)
    try:
        info = os.fstat(fd)
        data = os.read(fd, min(info.st_size, MAX_YAML_BYTES) + 1)
        if len(data) == info.st_size:
            return data, info
        pieces = [data]
        while len(data) <= MAX_YAML_BYTES and (piece := os.read(fd, 1 << 20)):
            pieces.append(piece)
        return b"".join(pieces), info
    finally:
        os.close(fd)
