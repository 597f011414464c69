"""Pictures, sounds, texts and tables: to media/, by way of requests as artifacts have them."""

from __future__ import annotations

from expman.models import LogLevel
from expman.storage.artifact_requests import Request, data_name
from expman.storage.media_index import MediaNote
from expman.transport import records as wire
from expman.transport.spool_memory import is_memory_name
from expman.writer.lanes import LaneState
from expman.writer.open_run import OpenRun
from expman.writer.sinks.sink import Sink

__all__ = ["MediaSink", "report_dropped_media"]


def report_dropped_media(run: OpenRun, lane: LaneState, dropped: int) -> None:
    """Counts media that the overflow policy has dropped."""
    if dropped:
        run.meta.media_dropped += dropped
        run.meta_changed = True
        text = f"{dropped:,} pictures and the like of {lane.producer} dropped: the buffer was full"
        run.note(LogLevel.WARN, text)


class MediaSink(Sink):
    """Takes media; ArtifactSink makes the requests durable and reports what becomes of them.

    Resumes by the word ARTIFACTS_KEPT, as ArtifactSink does: both take from the lane in its order.
    """

    name = "media"
    may_leave_out = False

    def __init__(self, run: OpenRun) -> None:
        super().__init__(run)
        self._lanes: set[int] = set()  # that this writer has taken a medium of

    def take(self, record: wire.Media, lane: LaneState | None, number: int) -> None:
        """Takes a medium, unless there is a request for it already."""
        assert lane is not None
        control = lane.consumer.control
        carried = None
        if record.staged is not None and is_memory_name(record.staged):
            carried = lane.consumer.carried(record.staged, record.size)
        if number < control.artifacts_kept:
            if carried is not None:
                carried.free()
            return
        report_dropped_media(self.run, lane, record.dropped)
        if record.kind == "dropped":
            return
        note = MediaNote(
            kind=record.kind,
            tag=record.label,
            step=record.step,
            producer=lane.producer,
            extension=record.extension,
            pixels=record.pixels,
            size=record.size,
            timestamp_ns=record.logged_at_ns,
        )
        what = f"{record.kind} {record.label!r}"
        is_file = record.data is None and carried is None
        staged = record.staged if is_file else data_name(lane.number, number)
        request = Request(
            lane=lane.number,
            record=number,
            source=what,
            staged=staged,
            target=what,
            logged_at_ns=record.logged_at_ns,
            media=note,
        )
        is_first = lane.number not in self._lanes
        self._lanes.add(lane.number)
        self.run.copier.take_medium(request, carried or record.data, lane.term, doubtful=is_first)

    def write(self, *, sync: bool) -> None:
        """Nothing: ArtifactSink writes what was taken."""
