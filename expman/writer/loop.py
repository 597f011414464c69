"""The writer's loop: find lanes, take what is published, write, end when the owners have ended."""

from __future__ import annotations

import os
import signal
import sys
import time

from expman.errors import CorruptLaneError, ExpmanError, LayoutVersionError, StorageError
from expman.faults import reach
from expman.models import LogLevel, RunStatus
from expman.transport import layout, segment
from expman.transport.consumer import LaneConsumer
from expman.writer.run import RETRY_S, RunWriter

__all__ = ["Server"]

BUSY_PAUSE_S = 0.001
IDLE_PAUSE_S = 0.025
LIVENESS_SPACING_S = 0.1
ORPHAN_S = 10.0
DRAIN_S = 10.0


class Server:
    """Serves one address until its runs have ended.

    Raises:
        FileNotFoundError: there is no such address.
        ExpmanError: another writer serves it.
    """

    def __init__(self, address: segment.Address) -> None:
        self.address = address
        self._base = segment.attach(address.place, address.segment())
        if not self._base.try_lock():
            raise ExpmanError(f"another writer serves {address}")
        self._mapping = self._base.map()
        self.words = memoryview(self._mapping).cast("Q")
        self.words[layout.WRITER_PID] = os.getpid()
        self.words[layout.WRITER_STARTS] += 1
        self._runs: dict[str, RunWriter] = {}
        self._next_lane = 0
        self._served = False
        self._deadline: float | None = None
        self._next_liveness = 0.0
        self._retry_at = 0.0
        self._trouble: str | None = None
        self._parent = os.getppid()

    def stop_soon(self, *_: object) -> None:
        """SIGTERM: goes on until the producers are gone or the deadline comes."""
        if self._deadline is None:
            self._deadline = time.monotonic() + DRAIN_S

    def serve(self) -> None:
        """Runs until every run of the address has ended."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self.stop_soon)
        pause_s, orphan_since = BUSY_PAUSE_S, time.monotonic()
        while True:
            busy = self._guarded_step()
            if self.finished:
                self.remove_address()
                return
            if self._runs:
                orphan_since = time.monotonic()
            elif os.getppid() != self._parent and time.monotonic() - orphan_since > ORPHAN_S:
                self.remove_address()
                return
            if self._deadline is not None and time.monotonic() > self._deadline:
                return
            pause_s = BUSY_PAUSE_S if busy else min(pause_s * 1.5, IDLE_PAUSE_S)
            time.sleep(pause_s)

    def _guarded_step(self) -> bool:
        if time.monotonic() < self._retry_at:
            return False
        try:
            busy = self.step()
        except StorageError as exc:
            self._report(str(exc))
            self._retry_at = time.monotonic() + RETRY_S
            return False
        if self._trouble is not None:
            self._report(None)
        return busy

    @property
    def finished(self) -> bool:
        """Whether every run that was found has ended."""
        return self._served and not self._runs

    def remove_address(self) -> None:
        """Removes the address: no lane can be claimed under it any more."""
        reach("address-before-remove")
        self._base.unlink()

    def step(self) -> bool:
        """One round over all lanes; whether there was something to do.

        Raises:
            StorageError: it is to be tried again; nothing is lost.
        """
        self._find_lanes()
        now = time.monotonic()
        check = now >= self._next_liveness
        if check:
            self._next_liveness = now + LIVENESS_SPACING_S
        busy = False
        for key, run in list(self._runs.items()):
            busy |= self._serve_run(key, run, check)
        return busy

    def _serve_run(self, key: str, run: RunWriter, check: bool) -> bool:
        taken = sum(self._poll(run, lane, "alive") for lane in run.lanes)
        owner = next((lane for lane in run.lanes if lane.hello.role == "owner"), None)
        if check:
            self._reap_workers(run)
        ended = run.sentinel is not None and owner is not None and owner.at_end()
        dead = check and not ended and not (owner is not None and owner.producer_alive())
        if ended or dead:
            for lane in run.lanes:
                while self._poll(run, lane, "dead" if lane is not owner or dead else "alive"):
                    run.commit()
            status, reason = self._verdict(run, owner)
            run.finish(status, reason)
            del self._runs[key]
            return True
        if run.is_due():
            run.commit()
        return run.consolidate_a_bit() or taken > 0

    def _verdict(self, run: RunWriter, owner: LaneConsumer | None) -> tuple[RunStatus, str | None]:
        if run.sentinel is not None:
            return run.sentinel.status, run.sentinel.reason
        pid = f" (pid {owner.hello.pid})" if owner is not None else ""
        return RunStatus.CRASHED, f"the owner process{pid} ended without closing the run"

    def _reap_workers(self, run: RunWriter) -> None:
        """Drains and removes the lanes of workers that are gone."""
        for lane in [lane for lane in run.lanes if lane.hello.role != "owner"]:
            if lane.at_end() or not lane.producer_alive():
                while self._poll(run, lane, "dead"):
                    run.commit()
                run.commit()
                run.lanes.remove(lane)
                lane.remove()

    def _poll(self, run: RunWriter, lane: LaneConsumer, producer: str) -> int:
        stretch = lane.poll("dead" if producer == "dead" else "alive")
        run.take(lane, stretch)
        return len(stretch.records) + len(stretch.problems)

    def _find_lanes(self) -> None:
        while True:
            try:
                lane = LaneConsumer(self.address, self._next_lane)
            except FileNotFoundError:
                if self._next_lane < self.words[layout.NEXT_LANE]:
                    self._next_lane += 1  # an earlier writer has finished and removed it
                    continue
                return
            except (CorruptLaneError, LayoutVersionError) as exc:
                self._say(str(exc))
                self._pass_lane()
                continue
            self._take_lane(lane)
            self._pass_lane()

    def _pass_lane(self) -> None:
        self._next_lane += 1
        if self.words[layout.NEXT_LANE] < self._next_lane:
            self.words[layout.NEXT_LANE] = self._next_lane

    def _take_lane(self, lane: LaneConsumer) -> None:
        hello = lane.hello
        key = os.path.join(hello.base_dir, hello.experiment, hello.run_name)
        try:
            if key not in self._runs:
                self._runs[key] = RunWriter(hello, self.words[layout.WRITER_STARTS] - 1)
            self._runs[key].add_lane(lane)
        except StorageError:
            if key in self._runs and not self._runs[key].lanes:
                del self._runs[key]
            lane.close()
            raise
        self._served = True

    def _report(self, trouble: str | None) -> None:
        """Tells the engine, once, what cannot be done at present."""
        if trouble == self._trouble:
            return
        if trouble is None:
            self.words[layout.TROUBLE_BYTES] = 0
            for run in self._runs.values():
                run.note(LogLevel.ERROR, f"writing failed for a while: {self._trouble}")
        else:
            text = trouble.encode(errors="replace")[: layout.ADDRESS_BYTES - layout.TROUBLE_OFFSET]
            end = layout.TROUBLE_OFFSET + len(text)
            self._mapping[layout.TROUBLE_OFFSET : end] = text
            self.words[layout.TROUBLE_BYTES] = len(text)
            if self._trouble is None:
                self._say(f"cannot write, rows wait in shared memory: {trouble}")
        self._trouble = trouble

    def _say(self, message: str) -> None:
        try:
            os.write(2, f"expman-writer: {message}\n".encode(errors="replace"))
        except OSError:
            sys.stderr = None  # the trainer is gone, nobody listens
