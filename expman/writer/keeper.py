"""Makes records durable as requests in a thread of its own: a slow disk holds up no other run."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from expman.errors import ExpmanError, StorageError
from expman.storage.artifact_requests import Request, Requests
from expman.transport.spool_memory import CarriedMedium

__all__ = ["Data", "Keeper"]

RETRY_S = 0.25

Data: TypeAlias = bytes | CarriedMedium | None
"""What came with a request."""

_stopping: dict[str, threading.Thread] = {}
"""By run directory: a thread that was stopped and may not have ended yet.

It may bring back a request that whoever serves the run next has stored already, so that one waits
for it.
"""


class _Taken(msgspec.Struct, frozen=True):
    request: Request
    data: Data


class Keeper:
    """The requests of one run that are in memory only, as the writer's thread sees them.

    A thread of its own, which lives as long as there is something to keep, makes files of them, in
    their order. Until then, and until the caller has noted that, the terms of their records must
    stay: a successor takes the records once more.

    Args:
        run_dir: the run's directory.
        is_in_place: whether that is at its path, and not another one, or none.
        requests: the files.

    Attributes:
        write_error: what keeps it from writing at present, or None.
    """

    def __init__(self, run_dir: str, is_in_place: Callable[[], bool], requests: Requests) -> None:
        self.write_error: str | None = None
        self._run_dir = run_dir
        self._is_in_place = is_in_place
        self._requests = requests
        self._terms: defaultdict[int, deque[int]] = defaultdict(deque)  # of a lane, not noted yet
        # From thread to thread: the ends of deques are safe to use.
        self._taken: deque[_Taken] = deque()
        self._kept: deque[_Taken] = deque()
        self._failure: Exception | None = None
        self._is_displaced = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # -- the writer's thread ------------------------------------------------------------

    def take(self, request: Request, data: Data, term: int) -> None:
        """Takes a request, and the data that came with it.

        Args:
            request: the request.
            data: the bytes, or a spool in shared memory that has them; None if a file has them.
            term: serial of the term that its record is in.
        """
        self._terms[request.lane].append(term)
        self._taken.append(_Taken(request, data))

    @property
    def is_due(self) -> bool:
        """True if `kept` has something, or if the run's directory is not at its path."""
        return bool(self._kept or self._failure or (self._is_displaced and self._taken))

    @property
    def is_busy(self) -> bool:
        """True if something is not kept and noted yet."""
        return bool(self._taken or self._kept)

    def first_term(self, lane: int) -> int | None:
        """Serial of the first term of a lane with a record that is not noted yet; None: none is."""
        terms = self._terms.get(lane)
        return terms[0] if terms else None

    def start(self) -> None:
        """Starts the thread if there is something for it to do."""
        if not self._taken or self._failure is not None or self._stop.is_set():
            return
        if self._thread is not None and self._thread.is_alive():
            return
        earlier = _stopping.get(self._run_dir)
        if earlier is not None and earlier.is_alive():
            return
        _stopping.pop(self._run_dir, None)
        thread = threading.Thread(target=self._run, name="expman-requests", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:  # no more threads for this user at present
            self.write_error = f"{self._run_dir}: artifacts wait: {exc}"
            return
        self._thread = thread

    def kept(self) -> Iterator[Request]:
        """Requests that are durable now, each until the caller has noted that.

        Raises:
            Exception: the thread has failed, though not for the disk.
        """
        while self._kept:
            kept = self._kept[0]
            yield kept.request
            if isinstance(kept.data, CarriedMedium):
                kept.data.free()
            self._terms[kept.request.lane].popleft()
            self._kept.popleft()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ends the thread, after the file that it writes; a successor does the rest."""
        self._stop.set()
        if self._thread is not None and self._thread.is_alive():
            _stopping[self._run_dir] = self._thread

    # -- the keeping thread -------------------------------------------------------------

    def _run(self) -> None:
        while self._taken and not self._stop.is_set():
            self._is_displaced = not self._is_in_place()
            if self._is_displaced:  # the next commit makes it anew, or says what is wrong
                self._stop.wait(RETRY_S)
                continue
            taken = self._taken[0]
            try:
                self._requests.keep(taken.request, _content(taken))
            except StorageError as exc:
                self.write_error = str(exc)
                self._stop.wait(RETRY_S)
                continue
            except Exception as exc:  # noqa: BLE001 - the writer's thread raises it
                self._failure = exc
                return
            self.write_error = None
            self._kept.append(taken)
            self._taken.popleft()


def _content(taken: _Taken) -> bytes | memoryview | None:
    """The data of a request; None if a file has it, or if it is gone.

    Raises:
        StorageError: it cannot be had at present.
    """
    if not isinstance(taken.data, CarriedMedium):
        return taken.data
    try:
        return taken.data.content()
    except (ExpmanError, FileNotFoundError, PermissionError):
        return None  # whoever stores it finds no file, and reports that
    except OSError as exc:
        raise StorageError(taken.request.source, exc.strerror or str(exc)) from exc
