"""From the data of a request to a file in media/ and its line in media.jsonl, exactly once."""

from __future__ import annotations

import contextlib
import os

from expman.failpoints import hit
from expman.models import reason_of
from expman.storage.artifact_requests import Request, is_data_name
from expman.storage.artifact_store import Stored
from expman.storage.artifacts import staging_dir
from expman.storage.media_index import MediaIndex, media_name
from expman.storage.media_spool import CONTENT_OFFSET, free_spool, is_spool_name
from expman.storage.paths import (
    MEDIA,
    IrregularFileError,
    fsync_dir,
    open_regular,
    quarantine,
    remove_stale_temps,
    replace_file,
    storage_error,
)
from expman.storage.pixels import encode_pixels

__all__ = ["MediaFiles"]


class MediaFiles:
    """The media of one run. Used by one thread at a time.

    Args:
        run_dir: the run's directory.
        found: requests of an earlier writer, which may have written their lines.
    """

    def __init__(self, run_dir: str, found: list[Request]) -> None:
        self._run_dir = run_dir
        self._directory = os.path.join(run_dir, MEDIA)
        self._index = MediaIndex(run_dir)
        self._is_ready = False
        self._had_lines = self._index.size() > 0
        self._doubtful = {_number(request) for request in found if request.media is not None}

    def doubt(self, request: Request) -> None:
        """Notes that an earlier writer may have stored it."""
        if self._had_lines:
            self._doubtful.add(_number(request))

    def store(self, request: Request) -> Stored:
        """Encodes the data, and stores it.

        Calling it again is harmless: file and line have names that belong to the record.

        Durability: durable when it returns, but for the problems.

        Raises:
            StorageError: the run's disk cannot take it at present.
        """
        note, number, result = request.media, _number(request), Stored()
        assert note is not None
        self._prepare()
        if number in self._doubtful and self._index.has(number):
            return result
        try:
            data = self._read(request.staged or "", note.size)
        except (FileNotFoundError, IrregularFileError, ValueError) as exc:
            result.problems.append(f"its data is not there any more: {exc}")
            return result
        except OSError as exc:
            raise storage_error(staging_dir(self._run_dir), exc) from exc
        try:
            encoded = data if note.pixels is None else encode_pixels(data, note.pixels)
        except MemoryError:
            raise
        except Exception as exc:  # noqa: BLE001 - it costs this file, and is reported
            result.problems.append(reason_of(exc))
            return result
        name = media_name(note.tag, note.step, note.extension, number)
        replace_file(os.path.join(self._directory, name), encoded)
        hit("media-after-file")
        self._doubtful.add(number)
        self._index.add(note, number, f"{MEDIA}/{name}", len(encoded))
        hit("media-after-line")
        return result

    def release(self, request: Request) -> None:
        """Gives the data's memory back, after the request is gone."""
        self._doubtful.discard(_number(request))
        name = request.staged or ""
        if is_spool_name(name):
            free_spool(self._run_dir, name)
        elif is_data_name(name):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(staging_dir(self._run_dir), name))

    def _prepare(self) -> None:
        try:
            is_new = not os.path.isdir(self._directory) or os.path.islink(self._directory)
            if is_new and os.path.lexists(self._directory):
                quarantine(self._directory)
            if is_new:
                os.mkdir(self._directory)
                fsync_dir(self._run_dir)
            if not self._is_ready:
                remove_stale_temps(self._directory)
        except OSError as exc:
            raise storage_error(self._directory, exc) from exc
        if not self._is_ready:
            self._index.cut_torn_line()
            self._is_ready = True

    def _read(self, name: str, size: int) -> bytes:
        if not is_spool_name(name) and not is_data_name(name):
            raise ValueError(f"{name!r} is not the name of a file with data")
        offset = CONTENT_OFFSET if is_spool_name(name) else 0
        fd = open_regular(os.path.join(staging_dir(self._run_dir), name))
        with os.fdopen(fd, "rb") as file:
            file.seek(offset)
            data = file.read(size)
        if len(data) != size:
            raise ValueError(f"{len(data)} of {size} bytes")
        return data


def _number(request: Request) -> str:
    return f"{request.lane:x}-{request.record:x}"
