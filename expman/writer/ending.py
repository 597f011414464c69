"""The end of a run: its lanes are closed and drained, its files made final."""

from __future__ import annotations

import time

from expman.failpoints import hit
from expman.models import RunStatus
from expman.transport import exit_record
from expman.writer.files import RunFiles
from expman.writer.polling import drain
from expman.writer.retry import ABANDON_S
from expman.writer.served_lanes import ServedLanes

__all__ = ["RunEnd"]

GRACE_S = 0.003
"""Between closing the lanes and the last poll: far longer than a store takes to be seen."""
PATIENCE_S = 2.0
"""How long the end of a run is put off for workers that never stop logging."""


class RunEnd:
    """Ends one run, step by step.

    Attributes:
        is_done: the files are final and the lanes are removed.
        is_urgent: somebody waits for the next step.
        stop_reason: why the writer itself was to end before the owner did.
    """

    def __init__(self, lanes: ServedLanes, stop_reason: str | None) -> None:
        self.is_done = False
        self.is_urgent = True
        self.stop_reason = stop_reason
        self._lanes = lanes
        self._wanted_since: float | None = None
        self._closed_at: float | None = None
        self._settled_at: float | None = None

    @property
    def is_wanted(self) -> bool:
        """True if the owner has closed its lane, or is gone."""
        return self._wanted_since is not None

    @property
    def has_begun(self) -> bool:
        """True if the lanes are closed: no call that begins now is sure to be taken."""
        return self._closed_at is not None

    def begin(self, *, is_quiet: bool) -> None:
        """Closes the lanes, as soon as workers stop logging or have had time enough for it."""
        now = time.monotonic()
        self._wanted_since = self._wanted_since or now
        if is_quiet or now - self._wanted_since > PATIENCE_S:
            self._close_lanes()

    def _close_lanes(self) -> None:
        for lane in self._lanes.known:
            lane.set_closing()
        self._closed_at = time.monotonic()

    def go_on(self, files: RunFiles, *, has_new: bool) -> bool:
        """Goes on ending the run; whether there was something to do.

        Args:
            files: the run's files.
            has_new: lanes were found since the last call.

        Raises:
            StorageError: call it again.
        """
        if has_new:  # claimed before the lanes were closed: these need their time, too
            self._settled_at = None
            self._close_lanes()
        assert self._closed_at is not None
        self.is_urgent = True
        if time.monotonic() - self._closed_at < GRACE_S:
            return True
        if self._settled_at is None:
            if not self._drain(files):
                return True
            if self._still_copies(files):
                return False
            self.is_urgent = True
            self._lanes.report_ends(files)
            if not files.settle():
                return True
            self._settled_at = time.monotonic()
        if self._awaits_exit(files):
            self.is_urgent = time.monotonic() - self._settled_at < PATIENCE_S
            return self.is_urgent
        files.finish(*self._final_status(files))
        hit("finish-before-ended")
        self._remove_lanes()
        self.is_done = True
        return True

    def _drain(self, files: RunFiles) -> bool:
        """Takes what is left, for the last time; False: wait for threads that were overtaken.

        A cutoff names a few entries that it does not include. More threads than that may be on
        their way for a moment, each in the middle of a call.
        """
        assert self._closed_at is not None
        is_patient = time.monotonic() - self._closed_at < PATIENCE_S
        waits = False
        for lane in self._lanes.known:
            drain(files, lane)
            if lane is self._lanes.owner:
                continue
            if is_patient and lane.passes_over_many:
                waits = True
            else:
                lane.set_cutoff()
        return not waits

    def _remove_lanes(self) -> None:
        # The owner's lane goes last: a successor needs it to see how the run ended.
        owner = self._lanes.owner
        for lane in sorted(self._lanes.known, key=lambda lane: lane is owner):
            exit_record.release(lane.control)
            lane.control.run_ended = True
            lane.remove()
        self._lanes.let_go()

    def _still_copies(self, files: RunFiles) -> bool:
        """True if artifacts have to be waited for: they hold up the end of their run only."""
        copier = files.copier
        if not copier.is_busy:
            return False
        self.is_urgent = False
        if copier.stalled_s > ABANDON_S:
            copier.give_up(copier.write_error or f"it has hung for {ABANDON_S:g} s")
        files.commit(sync=True) if copier.is_due else files.marks.answer()
        return copier.is_busy

    def _awaits_exit(self, files: RunFiles) -> bool:
        """True if the status is the owner's exit status, and that has not come yet."""
        owner, sentinel = self._lanes.owner, files.marks.sentinel
        if owner is None or sentinel is None or sentinel.status is not RunStatus.RUNNING:
            return False
        if not owner.control.settled:
            files.metadata.refresh()  # the program prints its counts
            owner.control.settled = True
        lives = owner.producer_alive()  # before the look: what it stores last is seen then
        return lives and exit_record.read(owner.control) is None and files.run.earlier is None

    def _final_status(self, files: RunFiles) -> tuple[RunStatus, str | None]:
        owner, earlier = self._lanes.owner, files.run.earlier
        if owner is None:
            return earlier or (RunStatus.CRASHED, "the owner's lane is gone")
        sentinel = files.marks.sentinel
        if sentinel is not None and sentinel.status is not RunStatus.RUNNING:
            return sentinel.status, sentinel.reason
        if earlier is not None:  # by a writer that was killed right after
            return earlier
        post_mortem = self._lanes.post_mortem
        assert post_mortem is not None
        if sentinel is not None:
            return post_mortem.status_of_exit(exit_record.read(owner.control), sentinel.reason)
        reason = post_mortem.why_it_ended()
        if self.stop_reason:
            reason += f"; {self.stop_reason}"
        return RunStatus.CRASHED, reason
