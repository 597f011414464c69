"""One run in the writer: its lanes from the owner's hello to its end."""

from __future__ import annotations

import time

from expman.errors import StorageError
from expman.failpoints import hit
from expman.models import LogLevel, RunStatus
from expman.transport import exit_record
from expman.transport.consumer import LaneConsumer
from expman.transport.hello import Hello
from expman.writer.files import RunFiles
from expman.writer.owner import OwnerWatch

__all__ = ["Run", "describe"]

RETRY_S = 0.25
GRACE_S = 0.003
"""Between closing the door and the last poll: far longer than a store takes to be seen."""
ABANDON_S = 300.0
"""How long a writer tries to write a run that no living process logs into."""
MANY_RECORDS = 2048
"""So many in one round, and the producer may fill the lane before the next one."""
SOME_RECORDS = 256
"""With fewer in one round the next one can wait: a round costs the same for one as for many."""
PATIENCE_S = 2.0
"""How long the end of a run is put off for workers that never stop logging."""


class Run:
    """Serves the lanes of one run until it has ended.

    Attributes:
        is_urgent: much is coming in, or somebody waits: look again at once.
        ended: its files are final and its lanes are removed.
        trouble: what cannot be done at present, or None.
        unreadable: why lanes of the run could not be read.
        waits_for: why a lane that may be the run's cannot be opened at present, or None.
    """

    def __init__(self, hello: Hello, stopping: str | None = None) -> None:
        self.run_dir = hello.run_dir
        self.ended = False
        self.is_urgent = False
        self.trouble: str | None = None
        self.waits_for: str | None = None
        self.unreadable: list[str] = []
        self.stop_reason = stopping
        self._hello = hello
        self._restarts = 0
        self._files: RunFiles | None = None
        self._new: list[LaneConsumer] = []
        self._lanes: list[LaneConsumer] = []
        self._owner: LaneConsumer | None = None
        self._watch: OwnerWatch | None = None
        self._retry_at = 0.0
        self._trouble_since: float | None = None
        self._failed = False
        self._unsaid: list[str] = []
        self._ending_since: float | None = None
        self._doors_closed_at: float | None = None
        self._settled_at: float | None = None

    def add_lane(self, lane: LaneConsumer) -> None:
        """Takes a lane; it is adopted by the next `serve`."""
        self._new.append(lane)
        if lane.hello.role == "owner":
            self._owner = lane
            self._restarts = lane.count_writer() - 1
            self._watch = OwnerWatch(lane.hello)

    def pause(self, pause_s: float, trouble: str) -> None:
        """Does nothing for a while; flush() and close() say why, and run.log will."""
        self._retry_at = time.monotonic() + pause_s
        self._set_trouble(trouble)

    def serve(self, check: bool) -> bool:
        """One round; whether there was something to do. Trouble is kept, reported and retried.

        Args:
            check: also look who still lives.
        """
        if time.monotonic() < self._retry_at:
            return False
        try:
            busy = self._serve(check)
        except StorageError as exc:
            self._failed = True
            self._retry_at = time.monotonic() + RETRY_S
            self._set_trouble(str(exc))
            return False
        self._failed = False
        if self._files is not None and not self._is_stalled(self._files):
            self._set_trouble(self._files.copier.trouble)
        return busy

    def _is_stalled(self, files: RunFiles) -> bool:
        """Whether what failed may fail again: one warning, not one for each try.

        A rewrite is tried every few seconds, and the last one goes on bit by bit.
        """
        ends = self._doors_closed_at is not None and self.trouble is not None
        return self.ended or files.consolidation.stalled or ends

    @property
    def is_abandoned(self) -> bool:
        """Whether it cannot be written for long, and nobody is there to wait for it."""
        if self._trouble_since is None or time.monotonic() - self._trouble_since < ABANDON_S:
            return False
        return not self.has_producers

    @property
    def has_producers(self) -> bool:
        """Whether a process lives that logs into it."""
        return any(lane.producer_alive() for lane in [*self._lanes, *self._new])

    def let_go(self) -> list[LaneConsumer]:
        """Leaves the lanes, with all their records, to whoever serves them next."""
        if self._files is not None:
            self._files.close()
        return [*self._lanes, *self._new]

    def warn(self, message: str) -> None:
        """Has a warning written to run.log."""
        if self._files is not None:
            self._files.note(LogLevel.WARN, message)

    def leave(self) -> None:
        """Makes durable what was taken; the lanes and the run are left to a successor."""
        if self._files is not None:
            try:
                self._files.commit(sync=True)
            except StorageError as exc:
                self._set_trouble(str(exc))

    def _serve(self, check: bool) -> bool:
        if self._files is None and self._owner is None and self._turn_away():
            return False
        if self._files is None:
            self._files = RunFiles(self._hello, self.run_dir, self._restarts)
        files = self._files
        while self._unsaid:  # run.log tells it as soon as it can be written
            files.note(LogLevel.ERROR, self._unsaid.pop(0))
        files.note_unreadable(self.unreadable)
        found = bool(self._new)
        # Those that a predecessor named come first: no other may take their names.
        self._new.sort(key=lambda lane: not lane.control.adopted)
        while self._new:
            self._retire_workers(files)  # their names are free again
            lane = self._new[0]
            files.add_lane(lane)
            del self._new[0]
            if lane.control.run_ended:
                lane.remove()
            else:
                self._lanes.append(lane)
        if self._failed:
            files.commit()  # before more is taken into memory
        self.is_urgent = True
        if self._doors_closed_at is not None:
            return self._end_if_quiet(files, found)
        taken = sum(self._poll(files, lane) for lane in self._lanes)
        if check:
            self._retire_workers(files)
        if self._is_over(files, check):
            if self.waits_for is not None:
                raise StorageError(self.run_dir, self.waits_for)
            now = time.monotonic()
            self._ending_since = self._ending_since or now
            if not taken or now - self._ending_since > PATIENCE_S:
                self._close_doors()
            return True
        self.is_urgent = taken >= MANY_RECORDS or files.wants_sync
        if files.is_due():
            files.commit()
        files.answer_flushes()
        return files.consolidation.step() or taken >= SOME_RECORDS or files.is_waiting

    def _is_over(self, files: RunFiles, check: bool) -> bool:
        owner = self._owner
        if owner is None:  # the run had ended when this worker's lane was found
            return True
        if files.sentinel is not None and owner.at_end():
            return True
        return self._ending_since is not None or (check and not owner.producer_alive())

    def _poll(self, files: RunFiles, lane: LaneConsumer, dead: bool = False) -> int:
        try:
            stretch = lane.poll("dead" if dead else "alive")
        except OSError as exc:  # no descriptor, or no memory, at present
            raise StorageError(lane.name, exc.strerror or str(exc)) from exc
        files.take(lane, stretch)
        return stretch.count + len(stretch.problems)

    def _drain(self, files: RunFiles, lane: LaneConsumer) -> None:
        dead = not lane.producer_alive() or lane.closed
        empty = 0
        while empty < 2:  # where stores are not ordered, a poll takes what the one before saw
            taken = self._poll(files, lane, dead)
            empty = 0 if taken else empty + 1
            if taken and files.is_due():
                files.commit()

    def _retire_workers(self, files: RunFiles) -> None:
        """Drains and removes the lanes of workers that are gone."""
        for lane in [lane for lane in self._lanes if lane is not self._owner]:
            if lane.at_end() or not lane.producer_alive():
                self._drain(files, lane)
                files.commit()
                files.retire(lane)
                self._lanes.remove(lane)
                lane.remove()

    # -- the end ----------------------------------------------------------------------

    def _turn_away(self) -> bool:
        """Removes empty lanes that were claimed while their run ended; its files stay as they are.

        Returns:
            False: rows are in them.
        """
        if not all(lane.is_empty() for lane in self._new):
            return False
        if all(lane.closed or not lane.producer_alive() for lane in self._new):
            for lane in self._new:
                lane.remove()
            self.ended = True
        return True

    def _close_doors(self) -> None:
        """Tells all producers that the run ends; what they publish now may be too late."""
        for lane in self._lanes:
            lane.close_door()
        self._doors_closed_at = time.monotonic()

    def _end_if_quiet(self, files: RunFiles, found: bool) -> bool:
        if found:  # claimed before the door was closed: these need their time, too
            self._settled_at = None
            self._close_doors()
        assert self._doors_closed_at is not None
        if time.monotonic() - self._doors_closed_at < GRACE_S:
            return True
        if self._settled_at is None:
            for lane in self._lanes:
                self._drain(files, lane)
                if lane is not self._owner:
                    lane.give_verdict()
            if self._still_copies(files):
                return False
            self.is_urgent = True
            if not files.settle():
                return True
            self._settled_at = time.monotonic()
        if self._awaits_exit(files):
            self.is_urgent = time.monotonic() - self._settled_at < PATIENCE_S
            return self.is_urgent
        files.finish(*self._verdict(files))
        hit("finish-before-ended")
        # The owner's lane goes last: a successor needs it to see how the run ended.
        for lane in sorted(self._lanes, key=lambda lane: lane is self._owner):
            exit_record.release(lane.control)
            lane.control.run_ended = True
            lane.remove()
        self.ended = True
        return True

    def _still_copies(self, files: RunFiles) -> bool:
        """Whether artifacts have to be waited for: they hold up the end of their run only."""
        copier = files.copier
        if not copier.is_busy:
            return False
        self.is_urgent = False
        if copier.stalled_s > ABANDON_S:
            files.give_up_artifacts(copier.trouble or f"it has hung for {ABANDON_S:g} s")
        files.commit(sync=True) if copier.is_due else files.answer_flushes()
        return copier.is_busy

    def _awaits_exit(self, files: RunFiles) -> bool:
        """Whether the status is the owner's exit status, and that has not come yet."""
        owner, sentinel = self._owner, files.sentinel
        if owner is None or sentinel is None or sentinel.status is not RunStatus.RUNNING:
            return False
        owner.control.settled = True
        lives = owner.producer_alive()  # before the look: what it stores last is seen then
        return lives and exit_record.read(owner.control) is None and files.earlier is None

    def _verdict(self, files: RunFiles) -> tuple[RunStatus, str | None]:
        if self._owner is None:
            return files.earlier or (RunStatus.CRASHED, "the owner's lane is gone")
        sentinel = files.sentinel
        if sentinel is not None and sentinel.status is not RunStatus.RUNNING:
            return sentinel.status, sentinel.reason
        if files.earlier is not None:  # by a writer that was killed right after
            return files.earlier
        assert self._watch is not None
        if sentinel is not None:
            return self._watch.judge_exit(exit_record.read(self._owner.control), sentinel.reason)
        reason = self._watch.why_it_ended()
        if self.stop_reason:
            reason += f"; {self.stop_reason}"
        return RunStatus.CRASHED, reason

    # -- trouble ----------------------------------------------------------------------

    def _set_trouble(self, trouble: str | None) -> None:
        if trouble == self.trouble:
            return
        for lane in [*self._lanes, *self._new]:
            lane.set_trouble(trouble)
        if trouble is None:
            self._trouble_since = None
        elif self.trouble is None:
            self._trouble_since = time.monotonic()
            self._unsaid.append(describe(trouble))
        self.trouble = trouble


def describe(trouble: str) -> str:
    """The line for the user about trouble that may heal."""
    if trouble.startswith("artifact "):
        return f"cannot store it yet, it waits in the run's directory: {trouble}"
    return f"cannot write, rows wait in shared memory: {trouble}"
