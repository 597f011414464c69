"""Requests for artifacts and media that a run still has to store: a small file each, in staging.

A record that asks for an artifact may leave shared memory once its request is durable here,
however long the copy takes. Whoever serves the run next, or recovers it, goes on with them.
"""

from __future__ import annotations

import contextlib
import os
import re

import msgspec

from expman.errors import StorageError
from expman.failpoints import hit
from expman.storage.artifacts import staging_dir
from expman.storage.media_index import MediaNote
from expman.storage.media_spool import is_spool_name
from expman.storage.paths import (
    IrregularFileError,
    fsync_dir,
    quarantine,
    read_regular,
    remove_stale_temps,
    replace_file,
    storage_error,
)

__all__ = ["Request", "Requests", "data_name", "is_data_name"]

_ENDING = ".request"
_MOST_BYTES = 64 * 1024
_SNAPSHOT = re.compile(r"[0-9a-f]{16}")
_DATA = re.compile(r"\d{6,}-\d{12,}\.data")


def data_name(lane: int, record: int) -> str:
    """Name of the file with the data that a record of a medium carried."""
    return f"{lane:06d}-{record:012d}.data"


def is_data_name(name: str) -> bool:
    """Whether `data_name` gives such names: anything else could lead out of the directory."""
    return _DATA.fullmatch(name) is not None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A file or directory to be stored.

    Attributes:
        lane, record: number of the lane and of the record that asked for it.
        source: what the caller named.
        staged: name of its snapshot in the staging directory, if there is one.
        target: where in artifacts/ it goes.
        logged_at_ns: when the call was made.
        media: what the medium is; None for an artifact. For a medium, source and target
            are words for messages.
        problem: why it could not be stored; None while that is open.
    """

    lane: int
    record: int
    source: str
    staged: str | None
    target: str
    logged_at_ns: int = 0
    media: MediaNote | None = None
    problem: str | None = None


class Requests:
    """The requests of one run."""

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir
        self._staging = staging_dir(run_dir)
        self._is_there = False

    def _path(self, request: Request) -> str:
        return os.path.join(self._staging, f"{request.lane:06d}-{request.record:012d}{_ENDING}")

    def read(self) -> list[Request]:
        """All that are open or failed, in the order of their calls.

        A file that is not a request is left alone.

        Raises:
            StorageError: they cannot be read.
        """
        try:
            if os.path.islink(self._staging):
                return []
            names = sorted(os.listdir(self._staging))
            found = [self._read(name) for name in names if name.endswith(_ENDING)]
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            return []
        except OSError as exc:
            raise storage_error(self._staging, exc) from exc
        return _in_order([request for request in found if request is not None])

    def _read(self, name: str) -> Request | None:
        try:
            data = read_regular(os.path.join(self._staging, name), most_bytes=_MOST_BYTES)
        except (IrregularFileError, FileNotFoundError):
            return None
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            return msgspec.json.decode(data, type=Request)
        return None

    def keep(self, request: Request, data: bytes | memoryview | None = None) -> None:
        """Writes a request, or what has become of it, and the data that it came with.

        Durability: durable when it returns. That of a medium survives the processes only, as the
        shared memory does that it comes from: only the stored file is durable.

        Raises:
            StorageError: it is as before.
        """
        try:
            self._make_directory()
            if not self._is_there:
                fsync_dir(self._run_dir)
                self._is_there = True
        except OSError as exc:
            raise storage_error(self._staging, exc) from exc
        if data is not None:
            replace_file(os.path.join(self._staging, request.staged or ""), data, sync=False)
            hit("request-after-data")
        is_durable = request.media is None or request.problem is not None
        replace_file(self._path(request), msgspec.json.encode(request), sync=is_durable)
        hit("request-after-keep")

    def _make_directory(self) -> None:
        """Makes the directory; anything else of that name, such as a planted link, is set aside."""
        if os.path.lexists(self._staging) and (
            os.path.islink(self._staging) or not os.path.isdir(self._staging)
        ):
            quarantine(self._staging)
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._staging, 0o700)

    def forget(self, request: Request) -> None:
        """Removes a request that is done with.

        Raises:
            StorageError: it is still there.
        """
        path = self._path(request)
        try:
            os.unlink(path)
        except FileNotFoundError as exc:
            if not os.path.isdir(self._run_dir):  # it lies in the directory that was moved away
                raise storage_error(path, exc) from exc
        except OSError as exc:
            raise storage_error(path, exc) from exc

    def _has_snapshot(self, request: Request) -> bool:
        path = os.path.join(self._staging, request.staged or "")
        return request.staged is not None and os.path.lexists(path)

    def clean_up(self) -> None:
        """Removes the failed requests without a snapshot, and the directory if nothing is left.

        A snapshot that could not be stored stays with its request: it may be all that is left
        of the file.
        """
        with contextlib.suppress(StorageError, OSError):
            for request in self.read():
                if not self._has_snapshot(request):
                    self.forget(request)
            self._remove_unused()
            remove_stale_temps(self._staging)  # left where the directory was away for a while
            os.rmdir(self._staging)

    def _remove_unused(self) -> None:
        """Removes data that no request has: free spools, and what killed trainers have begun."""
        used = {request.staged for request in self.read()}
        for name in os.listdir(self._staging):
            is_ours = is_spool_name(name) or is_data_name(name) or _SNAPSHOT.fullmatch(name)
            if is_ours and name not in used:
                with contextlib.suppress(OSError):  # a directory stays
                    os.unlink(os.path.join(self._staging, name))


def _in_order(requests: list[Request]) -> list[Request]:
    """Sorts requests by time; those of one lane keep their order, even if the clock was set."""
    latest: dict[int, int] = {}
    times = {}
    for request in sorted(requests, key=lambda request: (request.lane, request.record)):
        latest[request.lane] = max(latest.get(request.lane, 0), request.logged_at_ns)
        times[request.lane, request.record] = latest[request.lane]
    return sorted(
        requests,
        key=lambda request: (times[request.lane, request.record], request.lane, request.record),
    )
