"""Stores artifacts and media in a thread of its own: a long copy holds up no lane or other run."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from expman.errors import StorageError
from expman.models import reason_of
from expman.storage.artifact_requests import Request, Requests
from expman.storage.artifact_store import SourceError, Stored, store
from expman.storage.copying import Stopped
from expman.storage.media_files import MediaFiles
from expman.transport import records as wire
from expman.writer.keeper import Data, Keeper

__all__ = ["Copier", "CopyOutcome", "missing_line", "store_artifacts"]

RETRY_S = 0.25
SOURCE_PATIENCE_S = 30.0
"""How long an I/O error of the source's own disk is given to heal."""

_stopping: dict[str, threading.Thread] = {}
"""By run directory: a thread that was stopped and may not have ended yet.

Of two threads in one run's directory each would store the same artifacts. Whoever serves the run
next in this process waits for the first one, without holding up other runs.
"""


class CopyOutcome(msgspec.Struct):
    """Outcome of a request.

    Attributes:
        request: the request.
        warnings: for run.log.
        problem: why it, or a part of it, could not be stored; None if it was.
    """

    request: Request
    warnings: list[str]
    problem: str | None


class Copier:
    """The artifacts of one run, as the writer's thread sees them.

    That thread takes records, notes which of them are durable as requests, and fetches outcomes. A
    thread of its own, which lives as long as there is something to copy, stores them. Another one
    makes the requests (`keeper`): they wait for no copy.

    Args:
        run_dir: the run's directory.
        is_in_place: whether that is at its path, and not another one, or none.

    Attributes:
        missing: artifacts that could not be stored, those of earlier writers included.
    """

    def __init__(self, run_dir: str, is_in_place: Callable[[], bool] = lambda: True) -> None:
        self._requests = Requests(run_dir)
        self._keeper = Keeper(run_dir, is_in_place, self._requests)
        found = self._requests.read()
        self.missing = sum(request.problem is not None for request in found)
        is_open = [request for request in found if request.problem is None]
        self._copying = _Copying(run_dir, is_in_place, self._requests, is_open)
        self._found: dict[int, int] = {}
        for request in found:
            first = self._found.get(request.lane, 0)
            self._found[request.lane] = max(first, request.record + 1)
        self._mark, self._settled = len(is_open), 0

    def take(self, lane: int, record: int, artifact: wire.Artifact, term: int) -> None:
        """Takes a record, which is in a term of this serial."""
        staged = None if artifact.staged is None else os.path.basename(artifact.staged)
        request = Request(
            lane=lane,
            record=record,
            source=artifact.source,
            staged=staged,
            target=artifact.target,
            logged_at_ns=artifact.logged_at_ns,
        )
        self._take(request, None, term)

    def _take(self, request: Request, data: Data, term: int) -> None:
        self._mark += 1
        self._keeper.take(request, data, term)

    def found(self, lane: int) -> int:
        """Records of a lane whose requests earlier writers have kept, noted or not.

        Whoever serves the lane notes them before they are copied; see `keep`. Requests of one lane
        are kept in its order: those before the last one are kept, too, or stored.
        """
        return self._found.get(lane, 0)

    def take_medium(self, request: Request, data: Data, term: int, *, doubtful: bool) -> None:
        """Takes a request, and the data that came with it.

        Args:
            request: with a medium.
            data: the bytes, or a spool in shared memory that has them; None if a file has them.
            term: serial of the term that its record is in.
            doubtful: an earlier writer may have stored it, but was killed before it noted that.
        """
        if doubtful:
            self._copying.media.doubt(request)
        self._take(request, data, term)

    @property
    def write_error(self) -> str | None:
        """Present problem of storing artifacts, or None."""
        return self._keeper.write_error or self._copying.write_error

    @property
    def has_kept(self) -> bool:
        """True if `keep` has something to note: then terms may be given back."""
        return self._keeper.is_due

    @property
    def is_due(self) -> bool:
        """True if there is something to note, or to fetch."""
        return bool(self._keeper.is_due or self._copying.outcomes)

    @property
    def is_busy(self) -> bool:
        """True if something is not stored yet, nor given up."""
        return bool(self._keeper.is_busy or self._copying.open or self._copying.outcomes)

    @property
    def mark(self) -> int:
        """Number of requests taken so far; see `has_settled`."""
        return self._mark

    def has_settled(self, mark: int) -> bool:
        """True if the first so many requests are stored, or known to be missing."""
        return self._settled >= mark

    @property
    def stalled_s(self) -> float:
        """For how long nothing has been copied."""
        return self._copying.stalled_s

    def first_term(self, lane: int) -> int | None:
        """Serial of the first term of a lane that must stay for what is not noted yet, or None."""
        return self._keeper.first_term(lane)

    def keep(self) -> Iterator[Request]:
        """Has what was taken made durable as requests, and those that are so copied.

        Yields:
            Each request that is durable now, and before it is copied: once it is stored, its
            file is gone, and only what the caller notes keeps a successor from storing it again.

        Raises:
            Exception: one cannot be made, though not for the disk. The rest is taken once more.
        """
        for request in self._keeper.kept():
            yield request
            self._copying.add(request)
        self.start()

    def start(self) -> None:
        """Starts the threads for which there is something to do."""
        self._keeper.start()
        self._copying.start()

    def outcomes(self) -> Iterator[CopyOutcome]:
        """Outcomes of requests since the last call."""
        while self._copying.outcomes:
            outcome = self._copying.outcomes.popleft()
            self.missing += outcome.problem is not None
            self._settled += 1
            yield outcome

    def note_missing(self, outcome: CopyOutcome) -> None:
        """Remembers durably that an artifact is missing, so that no successor tries again.

        Raises:
            StorageError: a successor would.
        """
        self._requests.keep(msgspec.structs.replace(outcome.request, problem=outcome.problem))

    def give_up(self, why: str) -> None:
        """Takes everything that is not stored for missing; the snapshots stay."""
        self._copying.give_up(why)

    def stop(self) -> None:
        """Ends the threads, after the chunk that they are writing; a successor does the rest."""
        self._keeper.stop()
        self._copying.stop()

    def clean_up(self) -> None:
        """Removes what is left of requests at the run's end."""
        self._requests.clean_up()


class _Copying:
    """The thread that stores, and what it shares with the writer's.

    Deques pass requests and outcomes on: their ends are safe to use from two threads.

    Attributes:
        open: requests to be stored.
        outcomes: what became of requests.
        write_error: what keeps it from storing at present; the copying thread sets it.
        media: what it stores of media.
    """

    def __init__(
        self,
        run_dir: str,
        is_in_place: Callable[[], bool],
        requests: Requests,
        found: list[Request],
    ) -> None:
        self.open = deque(found)
        self.outcomes: deque[CopyOutcome] = deque()
        self.write_error: str | None = None
        self._run_dir = run_dir
        self.media = MediaFiles(run_dir, found)
        self._is_in_place = is_in_place
        self._requests = requests
        self._thread: threading.Thread | None = None
        self._given_up: str | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()  # for settling: of two threads one settles a request
        self._sign_of_life = time.monotonic()

    # -- the writer's thread ------------------------------------------------------------

    def add(self, request: Request) -> None:
        if self._given_up is None:
            self.open.append(request)
        else:
            self.outcomes.append(CopyOutcome(request, [], self._given_up))

    def start(self) -> None:
        if not self.open or self._stop.is_set():
            return
        if self._thread is not None and self._thread.is_alive():
            return
        if not self._succeeds():
            return
        thread = threading.Thread(target=self._run, name="expman-artifacts", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:  # no more threads for this user at present
            self.write_error = f"{self._run_dir}: artifacts wait: {exc}"
            return
        self._thread = thread
        self._sign_of_life = time.monotonic()

    def _succeeds(self) -> bool:
        """True if an earlier thread of this run has ended; what it has stored is not open then."""
        earlier = _stopping.get(self._run_dir)
        if earlier is None:
            return True
        if earlier.is_alive():
            return False
        try:
            left = self._requests.read()
        except StorageError as exc:
            self.write_error = str(exc)
            return False
        for request in [request for request in self.open if request not in left]:
            self.open.remove(request)
            self.outcomes.append(CopyOutcome(request, [], None))
        del _stopping[self._run_dir]
        return bool(self.open)

    @property
    def stalled_s(self) -> float:
        return time.monotonic() - self._sign_of_life if self.open else 0.0

    def give_up(self, why: str) -> None:
        self._given_up = why
        with self._lock:
            self._stop.set()
            while self.open:
                self.outcomes.append(CopyOutcome(self.open.popleft(), [], why))
        self.write_error = None

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None and self._thread.is_alive():
            _stopping[self._run_dir] = self._thread

    # -- the copying thread -------------------------------------------------------------

    def _run(self) -> None:
        failing_since: float | None = None
        while self.open and not self._stop.is_set():
            request = self.open[0]
            try:
                outcome = self._store(request)
            except Stopped:
                return
            except (StorageError, MemoryError) as exc:
                now = time.monotonic()
                failing_since = failing_since or now
                is_disk = isinstance(exc, StorageError) and not isinstance(exc, SourceError)
                if is_disk or now - failing_since < SOURCE_PATIENCE_S:
                    self.write_error = f"artifact {request.target}: {exc}"
                    self._stop.wait(RETRY_S)
                    continue
                outcome = CopyOutcome(request, [], str(exc) or "out of memory")
            except Exception as exc:  # noqa: BLE001 - it costs this artifact, and is reported
                outcome = CopyOutcome(request, [], reason_of(exc))
            failing_since = self.write_error = None
            with self._lock:
                if not self._stop.is_set():
                    self.outcomes.append(outcome)
                    self.open.popleft()
                self._sign_of_life = time.monotonic()

    def _store(self, request: Request) -> CopyOutcome:
        self._check_place()
        if request.media is not None:
            found = self.media.store(request)
        else:
            found = store(
                request.source,
                self._run_dir,
                request.target,
                staged=request.staged,
                stopped=self._is_stopped,
            )
        if found.problems:
            self._check_place()  # what is not found here may lie in the directory that was moved
        else:
            self._requests.forget(request)
            if request.media is not None:
                self.media.release(request)
        return CopyOutcome(request, found.warnings, _problem(found, request))

    def _check_place(self) -> None:
        if not self._is_in_place():
            raise StorageError(self._run_dir, "the run's directory is not there at present")

    def _is_stopped(self) -> bool:
        self._sign_of_life = time.monotonic()
        return self._stop.is_set()


def store_artifacts(run_dir: str) -> list[str]:
    """Stores the requested artifacts of a run without a writer; a line for each missing one.

    Raises:
        StorageError: the run's disk cannot take them at present.
    """
    requests = Requests(run_dir)
    lines, kept = [], requests.read()
    media = MediaFiles(run_dir, kept)
    for request in kept:
        if request.problem is not None:
            continue  # reported, and counted
        try:
            if request.media is not None:
                found = media.store(request)
            else:
                found = store(request.source, run_dir, request.target, staged=request.staged)
            problem = _problem(found, request)
        except SourceError as exc:
            problem = str(exc)
        if problem is None:
            requests.forget(request)
        else:
            requests.keep(msgspec.structs.replace(request, problem=problem))
            lines.append(missing_line(request, problem))
    requests.clean_up()
    return lines


def missing_line(request: Request, problem: str) -> str:
    """The line of run.log about an artifact that is missing."""
    if request.media is not None:
        return f"{request.source} could not be stored: {problem}"
    return f"artifact {request.source} could not be stored as {request.target}: {problem}"


def _problem(found: Stored, request: Request) -> str | None:
    if not found.problems:
        return None
    shown = "; ".join(found.problems[:3])
    if len(found.problems) > 3:
        shown += f"; and {len(found.problems) - 3} more files"
    if found.kept:
        shown += f" (what could not be stored stays in .artifacts-staging/{request.staged})"
    return shown
