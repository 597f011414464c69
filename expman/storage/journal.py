"""The journal of a live run: what run.yaml has, so that damage to run.yaml costs nothing.

`.run.journal` has a line for each change: the CRC-32 of the rest, and JSON with all keys of
run.yaml but `scalars`, `vectors` and `best`, and with the scalars that have changed. The first
line has all scalars. A line counts only if all lines before it do: the last whole one is the run's
latest state, whenever a writer is killed. The file is written anew, at once, by each writer that
opens the run and when it has grown, and removed when run.yaml is final. (The latest and the best
values of the metrics need no journal: they follow from the rows.)
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Mapping

import msgspec

from expman.errors import StorageError
from expman.failpoints import hit
from expman.metadata import RunMetadata
from expman.models import MetricValue
from expman.storage.appendfile import AppendFile
from expman.storage.bounds import packed, unpacked
from expman.storage.paths import (
    RUN_JOURNAL,
    RUN_YAML,
    IrregularFileError,
    quarantine,
    read_regular,
    replace_file,
    storage_error,
)
from expman.storage.yamlfile import RunFile, read_yaml, to_metadata

__all__ = ["Journal", "known_state", "set_aside_damage"]

LARGE_BYTES = 256 * 1024
_GROWTH = 4


class _JournalFile(AppendFile):
    sync_point = "journal-sync"


class Journal:
    """The journal of one run."""

    def __init__(self, run_dir: str) -> None:
        self.path = os.path.join(run_dir, RUN_JOURNAL)
        self._file = _JournalFile(self.path)
        self._limit_bytes = 0

    def read(self) -> RunMetadata | None:
        """Returns the state in the last whole line; None without such a line.

        Raises:
            StorageError: it is there and cannot be read.
        """
        try:
            data = read_regular(self.path)
        except (FileNotFoundError, IrregularFileError):
            return None
        except OSError as exc:
            raise storage_error(self.path, exc) from exc
        run: dict[str, object] = {}
        scalars: dict[str, MetricValue] = {}
        for line in data.split(b"\n"):
            change = _decode(line)
            if change is None:
                break
            run = change["run"]
            scalars.update({key: unpacked(value) for key, value in change["scalars"].items()})
        try:
            return msgspec.convert({**run, "scalars": scalars}, RunMetadata) if run else None
        except msgspec.ValidationError:
            return None

    def note(self, meta: RunMetadata, changed: Mapping[str, MetricValue]) -> None:
        """Notes the run's state, with the scalars that have changed since the last time.

        Durability: written when it returns; see `sync`.

        Raises:
            StorageError: the state before stands; the next call notes all of it.
        """
        try:
            file = self._file
            if not file.is_open or file.was_removed or file.good_bytes > self._limit_bytes:
                self._begin(meta)
                return
            with file.appending() as write:
                hit("journal-before-append")
                write(_encode(meta, changed), "journal-half-appended")
        except OSError as exc:
            self._file.forget()
            raise storage_error(self.path, exc) from exc

    def _begin(self, meta: RunMetadata) -> None:
        """Replaces the file by one with a single line."""
        self._file.forget()
        line = _encode(meta, meta.scalars)
        replace_file(self.path, line)
        self._file.open(create=False)
        self._file.inherit()
        self._limit_bytes = max(LARGE_BYTES, _GROWTH * len(line))

    def sync(self) -> None:
        """Makes what was noted durable.

        Raises:
            StorageError: it is not; the next call tries again.
        """
        try:
            self._file.sync()
        except OSError as exc:
            raise storage_error(self.path, exc) from exc

    def remove(self) -> None:
        """Removes it: run.yaml is final."""
        self._file.forget()
        with contextlib.suppress(OSError):
            os.unlink(self.path)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def known_state(run_dir: str) -> RunMetadata | None:
    """Reads the state from the journal, or from run.yaml; None if neither can be read.

    Raises:
        StorageError: the system cannot read one of them at present.
    """
    found = Journal(run_dir).read()
    if found is not None:
        return found
    try:
        return RunFile(run_dir).read()
    except StorageError as exc:
        if isinstance(exc.__cause__, OSError) and not _is_odd(exc.__cause__):
            raise
        return None


def set_aside_damage(run_dir: str) -> str | None:
    """Renames a run.yaml that cannot be understood; one that only lacks its end is left there.

    Returns:
        What was wrong, for run.log; None if nothing was.

    Raises:
        StorageError: it cannot be read at present, or not be renamed.
    """
    path = os.path.join(run_dir, RUN_YAML)
    if not os.path.lexists(path):
        return None
    try:
        found = read_yaml(path)
    except StorageError as exc:
        return _set_aside(run_dir, path, exc)
    return _cut_off(run_dir, path, found)


def _cut_off(run_dir: str, path: str, found: dict[str, object]) -> str | None:
    """Returns the message about a file that was cut at the end of a line: valid, but incomplete."""
    try:
        to_metadata(path, dict(found))
    except StorageError as exc:
        return _set_aside(run_dir, path, exc)
    keys = RunMetadata.__struct_fields__
    lacking = [key for key in keys if key not in {*found, "rank"}]
    is_whole = keys[-1] in found  # what else is lacking, earlier versions did not write
    if is_whole or not lacking or Journal(run_dir).read() is None:
        return None
    return f"{path} was cut off: it lacked {', '.join(lacking)}; the rest comes from its journal"


def _set_aside(run_dir: str, path: str, exc: StorageError) -> str:
    if isinstance(exc.__cause__, OSError) and not _is_odd(exc.__cause__):
        raise exc
    source = "its journal" if Journal(run_dir).read() is not None else "nowhere"
    try:
        name = os.path.basename(quarantine(path))
        return f"{exc}; it was renamed to {name}, its content comes from {source}"
    except OSError as trouble:
        raise storage_error(path, trouble) from trouble


def _is_odd(exc: OSError) -> bool:
    return isinstance(exc, FileNotFoundError | IrregularFileError)


def _encode(meta: RunMetadata, scalars: Mapping[str, MetricValue]) -> bytes:
    run = msgspec.to_builtins(meta)
    del run["scalars"], run["vectors"], run["best"]
    changed = {key: packed(value) for key, value in scalars.items()}
    text = json.dumps({"run": run, "scalars": changed}).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _decode(line: bytes) -> dict[str, dict[str, object]] | None:
    check, _, text = line.partition(b" ")
    if check != b"%08x" % zlib.crc32(text):
        return None
    found = json.loads(text)
    return found if isinstance(found, dict) else None
