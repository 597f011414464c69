"""How an engine sends media: small ones in the lane, large ones in spools for the writer."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

from expman import notices
from expman.errors import ExpmanError, RecordTooLargeError, RunClosedError
from expman.late_imports import no_fork
from expman.media import MediaCalls
from expman.media_values import Medium
from expman.models import ExperimentConfig

if TYPE_CHECKING:  # what only a run needs is imported by its first engine
    from expman.storage.media_spool import Spools
    from expman.transport.producer import LaneProducer

__all__ = ["MediaSending", "measured_at"]

MOST_IN_LANE = 64 * 1024
"""Larger ones would cost two copies, and large terms that rows do not need."""
DROPPED = "dropped"
"""A record of this kind has only the number of media that were dropped."""
REPORT_S = 5.0
PATIENCE_S = 60.0
PAUSE_S = 0.002
_measured_at_ns: ContextVar[int | None] = ContextVar("expman_measured_at_ns", default=None)


@contextlib.contextmanager
def measured_at(time_ns: int | None) -> Iterator[None]:
    """Media and histograms that are logged in this block have another time than now.

    Args:
        time_ns: nanoseconds since the Unix epoch; None: now.
    """
    token = _measured_at_ns.set(time_ns)
    try:
        yield
    finally:
        _measured_at_ns.reset(token)


@functools.cache  # an import statement costs microseconds in a call that was not made for a while
def _media() -> int:
    """The tag of a record of a medium."""
    from expman.transport.encoding import MEDIA

    return MEDIA


def _plain_step(step: object) -> int | None:
    from expman.transport.values import plain_step

    return plain_step(step)


class MediaSending(MediaCalls):
    """Publishes a record for each. What does not fit anywhere waits, or is dropped and counted."""

    _lane: LaneProducer
    _ended: bool
    config: ExperimentConfig
    run_dir: str
    _spools: Spools | None = None
    _media_dropped: int = 0
    _warned_of_dropped_media: bool = False

    def _send_medium(self, kind: str, tag: str, step: object, medium: Medium) -> None:
        plain = step if type(step) is int and -(2**63) <= step < 2**63 else _plain_step(step)
        if self._ended:  # before a file is made that nobody would store
            raise RunClosedError(self.run_dir)
        size = len(medium.data)
        head = (kind, tag, plain, medium.extension, medium.pixels)
        if size > MOST_IN_LANE:
            name = self._spooled(medium.data)
            if name is not None:
                # An interrupt may come after the record was published: then the spool is not ours.
                published = False
                try:
                    published = self._publish_or_drop(_media(), *head, None, name, size)
                except ExpmanError:
                    self._free_spool(name)
                    raise
                if not published:
                    self._free_spool(name)
                return
        try:
            self._publish_or_drop(_media(), *head, bytes(medium.data), None, size)
        except RecordTooLargeError:
            if not self._drops or size > self.config.max_buffer_bytes:
                raise  # it will never fit
            self._count_drop()

    def _spooled(self, data: memoryview | bytes) -> str | None:
        """The name of a spool with the data; None: it must go through the lane.

        One in shared memory costs a copy. Where these have no room, a file costs some more.
        """
        name = self._in_memory(data)
        if name is not None:
            return name
        with no_fork():
            from expman.storage.media_spool import CONTENT_OFFSET, Spools

        if self._spools is None:
            self._spools = Spools(self.run_dir, self.config.max_buffer_bytes)
        fits = len(data) + CONTENT_OFFSET <= self.config.max_buffer_bytes
        give_up_at = time.monotonic() + (PATIENCE_S if fits and not self._drops else 0)
        try:
            while (name := self._spools.put(data)) is None and time.monotonic() < give_up_at:
                time.sleep(PAUSE_S)
                if (name := self._in_memory(data)) is not None:
                    break
        except OSError:
            return None  # the run's disk is in trouble: shared memory holds it until that is over
        return name

    def _in_memory(self, data: memoryview | bytes) -> str | None:
        memory = self._lane.spools
        return None if memory is None else memory.put(data)

    def _free_spool(self, name: str) -> None:
        """Frees the spool of a medium that was not published."""
        memory = self._lane.spools
        if memory is not None:
            memory.take_back(name)
        if self._spools is not None:
            self._spools.take_back(name)

    def _send_histogram(
        self, tag: str, step: object, edges: list[float], counts: list[int], not_finite: int
    ) -> None:
        from expman.transport.encoding import HISTOGRAM
        from expman.transport.values import plain_step

        self._publish_or_drop(HISTOGRAM, tag, plain_step(step), edges, counts, not_finite)

    @property
    def _drops(self) -> bool:
        return self.config.overflow == "drop"

    def _publish_or_drop(self, tag: int, *fields: object) -> bool:
        dropped, self._media_dropped = self._media_dropped, 0
        published = False
        try:
            lane = self._lane
            publish = lane.offer if self.config.overflow == "drop" else lane.publish
            published = publish(tag, *fields, dropped, logged_at_ns=_measured_at_ns.get())
        finally:
            if not published:
                self._media_dropped += dropped
        if not published:
            self._count_drop()
        return published

    def _report_dropped_media(self, timeout_s: float) -> None:
        """At the end: those that no later record has reported, if there is room within the time."""
        from expman.transport.encoding import MEDIA

        dropped, self._media_dropped = self._media_dropped, 0
        if dropped:
            give_up_at = time.monotonic() + min(timeout_s, REPORT_S)
            head = (DROPPED, "", None, "", None, b"", None, 0, dropped)
            with contextlib.suppress(RunClosedError):
                self._lane.publish(MEDIA, *head, give_up_at=give_up_at)

    def _count_drop(self) -> None:
        self._media_dropped += 1
        if not self._warned_of_dropped_media:
            self._warned_of_dropped_media = True
            notices.warn(
                f"expman: pictures and the like of {self.run_dir} are dropped: the buffer is full"
            )
