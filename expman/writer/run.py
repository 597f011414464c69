"""One run in the writer: its lanes from the owner's hello to its end."""

from __future__ import annotations

from expman.errors import StorageError
from expman.models import LogLevel
from expman.transport.consumer import LaneConsumer
from expman.transport.hello import Hello
from expman.writer.ending import RunEnd
from expman.writer.files import RunFiles
from expman.writer.polling import poll
from expman.writer.retry import Retry
from expman.writer.sampling import Sampling
from expman.writer.served_lanes import ServedLanes
from expman.writer.stalls import StallWatch

__all__ = ["RunWriter"]

MANY_RECORDS = 2048
"""So many in one round, and the producer may fill the lane before the next one."""
FRESH_S = 60.0
"""A run that began so short a time ago is observed even if its owner is gone already."""
SOME_RECORDS = 256
"""With fewer in one round the next one can wait: a round costs the same for one as for many."""


class RunWriter:
    """Serves the lanes of one run until it has ended.

    Attributes:
        run_dir: its directory.
        lanes: its lanes.
        end: its end.
        retry: what keeps it from being written at present.
        is_urgent: much is coming in, or somebody waits: look again at once.
        unreadable: why lanes of the run could not be read.
        waits_for: why a lane that may be the run's cannot be opened at present, or None.
    """

    def __init__(self, hello: Hello, stop_reason: str | None = None) -> None:
        self.run_dir = hello.run_dir
        self.lanes = ServedLanes()
        self.end = RunEnd(self.lanes, stop_reason)
        self.retry = Retry(self.lanes)
        self.is_urgent = False
        self.waits_for: str | None = None
        self.unreadable: list[str] = []
        self._hello = hello
        self._files: RunFiles | None = None
        self._sampling: Sampling | None = None
        self._stalls = StallWatch(hello)
        self._must_check = False  # a look at who lives is due, and may have met a pause

    @property
    def has_ended(self) -> bool:
        """True if its files are final and its lanes are removed."""
        return self.end.is_done

    @property
    def write_error(self) -> str | None:
        """Present problem of writing the run, or None."""
        return self.retry.write_error

    @property
    def is_abandoned(self) -> bool:
        """True if it could not be written for long, and no process waits for it."""
        return self.retry.lasts_long and not self.lanes.has_producers

    def serve(self, check: bool) -> bool:
        """One round; whether there was something to do. Errors are kept, reported and retried.

        Args:
            check: also look who still lives.
        """
        self._must_check |= check
        if self.retry.is_pausing:
            return False
        try:
            busy = self._serve(self._must_check)
        except StorageError as exc:
            self.retry.fail(str(exc))
            return False
        self.retry.has_failed = self._must_check = False
        if self._files is not None and not self._may_fail_again(self._files):
            self.retry.set(self._files.copier.write_error)
        return busy

    def _may_fail_again(self, files: RunFiles) -> bool:
        """True if what failed is tried again only later: one warning, not one for each try.

        A rewrite is tried every few seconds, and the last one goes on bit by bit.
        """
        is_ending = self.end.has_begun and self.write_error is not None
        return self.has_ended or files.rows.consolidation.stalled or is_ending

    def _serve(self, check: bool) -> bool:
        files = self._files or self._open()
        if files is None:
            return False
        while self.retry.unreported:
            files.note(LogLevel.ERROR, self.retry.unreported.pop(0))
        files.metadata.report_unreadable(self.unreadable)
        has_new = self.lanes.show_new(files)
        if self.retry.has_failed:
            files.commit()  # before more is taken into memory
        self.is_urgent = True
        if self.end.has_begun:
            busy = self.end.go_on(files, has_new=has_new)
            if self._sampling is not None and self.has_ended:
                self._sampling.stop()
            self.is_urgent = self.end.is_urgent
            return busy
        taken = sum(poll(files, lane) for lane in self.lanes.known)
        if check:
            self.lanes.look()
            self.lanes.retire_workers(files)
        self._stalls.look(files)
        is_over = self._is_over(files, check)
        if not self._observe(files, is_over) and is_over:
            if self.waits_for is not None:
                raise StorageError(self.run_dir, self.waits_for)
            waits = files.marks.sentinel is None and self.lanes.awaits_relay
            self.end.begin(is_quiet=not taken and not waits)
            return True
        self.is_urgent = taken >= MANY_RECORDS or files.marks.wants_sync
        if files.is_due():
            files.commit()
        files.marks.answer()
        is_busy = files.work() or taken >= SOME_RECORDS
        return is_busy or is_over or files.marks.is_waited_for

    def _open(self) -> RunFiles | None:
        """Opens the files; None if there is nothing to write.

        A worker may claim a lane while its run ends. The files of that run stay as they are if
        nothing is in the lane.
        """
        lanes = self.lanes
        if lanes.owner is None and all(lane.is_empty() for lane in lanes.new):
            self.end.is_done = lanes.remove_empty()
            return None
        is_dead = lanes.owner is None or not lanes.owner.producer_alive()
        self._files = RunFiles(self._hello, lanes.restarts, owner_was_dead=is_dead)
        if not is_dead or (lanes.owner is not None and self._hello.age_s < FRESH_S):
            self._sampling = Sampling(self._hello, trainer_lives=not is_dead)
        return self._files

    def _observe(self, files: RunFiles, is_over: bool) -> bool:
        """Takes the samplers' records; True if the run's end must wait for more."""
        if self._sampling is None:
            return False
        if is_over and files.marks.sentinel is not None:
            self._sampling.finish()
        files.take_samples(self._sampling.step())
        return self._sampling.is_awaited()

    def _is_over(self, files: RunFiles, check: bool) -> bool:
        owner = self.lanes.owner
        if owner is None:  # the run had ended when this worker's lane was found
            return True
        if files.marks.sentinel is not None and owner.at_end():
            return True
        return self.end.is_wanted or (check and not owner.producer_alive())

    # -- what the server asks -----------------------------------------------------------

    def warn(self, message: str) -> None:
        """Has a warning written to run.log."""
        if self._files is not None:
            self._files.note(LogLevel.WARN, message)

    def leave(self) -> None:
        """Makes durable what was taken; the lanes and the run are left to a successor."""
        if self._sampling is not None:
            self._sampling.stop()
        if self._files is not None:
            try:
                self._files.commit(sync=True)
            except StorageError as exc:
                self.retry.set(str(exc))

    def let_go(self) -> list[LaneConsumer]:
        """Leaves the lanes, with all their records, to whoever serves them next."""
        if self._files is not None:
            self._files.close()
        if self._sampling is not None:
            self._sampling.stop()
        return self.lanes.let_go()
