"""Records of kinds that this version does not know: to a file that a later version can read."""

from __future__ import annotations

from expman.models import LogLevel
from expman.storage.paths import UNKNOWN_RECORDS
from expman.storage.unknown_records import UnknownRecord, UnknownRecords
from expman.transport import records as wire
from expman.writer.lanes import LaneState
from expman.writer.open_run import OpenRun
from expman.writer.sinks.sink import Sink

__all__ = ["UnknownSink"]


class UnknownSink(Sink):
    """Records that a newer client has logged: their bytes are kept, and run.log names the kind.

    Resumes by the file: each record is in it with its lane and its number.
    """

    name = UNKNOWN_RECORDS
    may_leave_out = False

    def __init__(self, run: OpenRun) -> None:
        super().__init__(run)
        self._file = UnknownRecords(run.run_dir)
        self._waiting: list[UnknownRecord] = []
        self._reported: set[int] = set()

    def take(self, record: wire.Unknown, lane: LaneState | None, number: int) -> None:
        """Takes the bytes of a record."""
        assert lane is not None
        self._waiting.append(UnknownRecord(lane.producer, lane.number, number, record.encoded))
        if record.tag not in self._reported:
            self._reported.add(record.tag)
            text = (
                f"{lane.producer} logs records of kind {record.tag}, which this version of expman "
                f"does not know; their bytes are kept in {UNKNOWN_RECORDS}"
            )
            self.run.note(LogLevel.WARN, text)

    @property
    def has_pending(self) -> bool:
        """True if records wait in memory."""
        return bool(self._waiting)

    def write(self, *, sync: bool) -> None:
        """Appends the records that the file does not have."""
        self._file.append(self._waiting)
        self._waiting = []
        if sync:
            self._file.sync()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    finish = close
