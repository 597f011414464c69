"""Starts a run, in a thread: Ctrl-C reaches only the main one. What is called off is taken back."""

from __future__ import annotations

import contextlib
import sys
import threading
from types import FrameType

import msgspec

from expman import notices
from expman.errors import ExpmanError
from expman.interpreter import find_python
from expman.launch.resume import resume_run
from expman.launch.run_directory import (
    check_base_dir,
    create_run,
    remove_run,
    with_rank,
    write_first_metadata,
)
from expman.launch.shared import find_shared_writer
from expman.launch.supervisor import Supervisor
from expman.launch.wake import Wake
from expman.models import ExperimentConfig, Rank
from expman.transport import identity, settings
from expman.transport.address import give_up_address, new_address
from expman.transport.lane import FIRST_BYTES
from expman.transport.once import Once
from expman.transport.producer import LaneProducer
from expman.transport.segment import Address

__all__ = ["RunStart"]

_LOOK_S = 0.5
"""Spacing of looks at whether the constructor still runs."""
_TAKE_BACK_S = 5.0
"""How long an interrupted constructor waits until everything is taken back."""


class RunStart:
    """The start of a run, for one constructor of an engine.

    An exception may come at any step of the constructor: Ctrl-C in a notebook. So all that could
    stay behind is made by the thread that supervises the writer later. It does not show the lane to
    the writer before the constructor has got everything (`begin`), and takes all back if the
    constructor says so (`call_off`) or has gone without a word, as after a second Ctrl-C.

    Args:
        config: what is to be recorded.

    Attributes:
        config: with the name that was taken.
        supervisor: the supervisor of the writer.
        lane: the owner's.
    """

    supervisor: Supervisor
    lane: LaneProducer

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        self._begins: Once[bool] = Once()  # settled once, by whoever comes first
        self._made, self._decided, self._taken_back = Wake(), Wake(), Wake()
        self._notes: list[str] = []
        self._error: BaseException | None = None
        self._made_things = contextlib.ExitStack()  # how each is taken back
        self._constructor: tuple[int, FrameType] | None = None
        self._thread = threading.Thread(target=self._run, name="expman-supervisor", daemon=True)

    # -- the constructor's side ------------------------------------------------------

    def make(self) -> None:
        """Makes a directory, a writer or the way to one, and a lane.

        Raises:
            RunExistsError, StorageError, SharedMemoryError, ConfigError, ExpmanError: as
                LoggingEngine does; nothing is left.
        """
        self._constructor = threading.get_ident(), sys._getframe(1)
        try:
            self._thread.start()
        except RuntimeError as exc:
            self._constructor = None
            raise ExpmanError(
                f"run {self.config.run_dir}: no thread can be started to watch the writer ({exc}); "
                "raise the limit of processes (ulimit -u, the cgroup's pids.max)"
            ) from exc
        self._made.wait()
        for note in self._notes:
            notices.warn(note)
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback has this frame

    def begin(self) -> None:
        """Shows the lane to the writer: from here on it is a run.

        Raises:
            ExpmanError: it was taken back, for the constructor seemed to have gone.
        """
        if not self._begins.settle(True):
            raise ExpmanError(f"run {self.config.run_dir}: its start was called off")
        self.lane.show()
        self._decided.set()

    def call_off(self) -> bool:
        """Takes everything back; False: the run has begun."""
        if self._begins.settle(False):
            self.lane.show()
            self._decided.set()
            return False
        self._decided.set()
        if self._thread.ident is not None:
            self._taken_back.wait(_TAKE_BACK_S)
        return True

    # -- the thread's ------------------------------------------------------------------

    def _run(self) -> None:
        if not self._start():
            try:
                self._made_things.close()
            finally:
                self._taken_back.set()
                self._made.set()
            return
        self._made_things.pop_all()
        self.lane.settle()
        self.supervisor.supervise()

    def _start(self) -> bool:
        """Makes everything; whether the run begins."""
        constructor, self._constructor = self._constructor, None
        try:
            self._make()
            self._made.set()
            while self._begins.get(None) is None:
                self._decided.wait(_LOOK_S)
                if self._begins.get(None) is None and not _runs(constructor):
                    self._begins.settle(False)
        except BaseException as exc:  # noqa: BLE001 - the constructor raises it
            self._error = exc
        return self._begins.settle(False)

    def _make(self) -> None:
        shared = find_shared_writer(self.config.writer, self._notes.append)
        if shared is None:
            find_python(self.config.python)  # nothing is left behind if there is none
        check_base_dir(self.config)
        rank = _rank_of(self.config)
        self.config = with_rank(self.config, rank)
        attempt = resume_run(self.config, self._is_called_off)
        if attempt == 1:
            self.config = create_run(self.config)
            self._made_things.callback(remove_run, self.config)
        if shared is None or not self._join(shared, rank, attempt):
            self._start_own(rank, attempt)

    def _is_called_off(self) -> bool:
        """True if the constructor does not wait for the run any more."""
        return self._begins.get(None) is False

    def _join(self, address: Address, rank: Rank | None, attempt: int) -> bool:
        """Claims a lane at a shared writer; False if that has ended just now."""
        try:
            self._claim(address, rank, attempt, shared=True)
        except FileNotFoundError:
            return False
        return True

    def _start_own(self, rank: Rank | None, attempt: int) -> None:
        """Starts a writer, and claims a lane while it starts."""
        address, base = new_address(FIRST_BYTES)
        self._made_things.callback(give_up_address, base)
        self._claim(address, rank, attempt, shared=False)

    def _claim(self, address: Address, rank: Rank | None, attempt: int, *, shared: bool) -> None:
        config, claimed = self.config, _ClaimedLane()
        supervisor = Supervisor(address, config.run_dir, config.python, claimed, shared=shared)
        self._made_things.callback(supervisor.call_off)
        host = identity.this_host(address.place)
        group = config.group or identity.find_group()
        if attempt == 1:
            write_first_metadata(config, group, rank, host)
        hello = settings.owner_hello(config, host, group, rank, attempt)
        lane = LaneProducer(
            address, hello, revive=not shared, on_wait=supervisor.may_wait, is_shown=False
        )
        self._made_things.callback(lane.take_back)
        self.supervisor, self.lane, claimed.lane = supervisor, lane, lane


def _rank_of(config: ExperimentConfig) -> Rank | None:
    """The rank that the settings name, else the launcher's."""
    rank = identity.find_rank()
    if config.rank is None:
        return rank
    return msgspec.structs.replace(rank or Rank(rank=config.rank), rank=config.rank)


def _runs(constructor: tuple[int, FrameType] | None) -> bool:
    """True if a thread has a call in hand."""
    if constructor is None:
        return False
    thread, call = constructor
    frame = sys._current_frames().get(thread)
    while frame is not None and frame is not call:
        frame = frame.f_back
    return frame is not None


class _ClaimedLane:
    """View of the lane for the supervisor, once it is claimed."""

    lane: LaneProducer | None = None

    def has_ended(self) -> bool:
        return self.lane is not None and self.lane.control.run_ended

    def progress(self) -> int:
        if self.lane is None:
            return 0
        control = self.lane.control
        return control.written_rows + control.released_terms
