"""Sink of the provenance: provenance.yaml."""

from __future__ import annotations

import time

from expman.errors import StorageError
from expman.models import LogLevel
from expman.storage.paths import PROVENANCE_YAML
from expman.storage.provenance import PENDING, write_provenance
from expman.writer.lanes import LaneState
from expman.writer.open_run import OpenRun
from expman.writer.samplers.samples import ProvenanceSample
from expman.writer.sinks.sink import Sink

__all__ = ["ProvenanceSink"]

PAUSE_S = 5.0
PATIENCE_S = 0.3
"""Git mostly answers within this time: then one file is written, and not two."""


class ProvenanceSink(Sink):
    """The provenance of the run. What fails here is reported once, and holds up nothing else.

    Resumes by the file: a successor finds out what a run was only if the file is absent or waits
    for git.
    """

    name = PROVENANCE_YAML

    def __init__(self, run: OpenRun) -> None:
        super().__init__(run)
        self._waiting: ProvenanceSample | None = None
        self._pause_until = 0.0
        self._is_reported = False

    def take(self, record: ProvenanceSample, lane: LaneState | None, number: int) -> None:
        """Takes a document, which replaces the one before."""
        is_pending = record.document.get("notes") == [PENDING]
        self._pause_until = time.monotonic() + PATIENCE_S if is_pending else 0.0
        self._waiting = record

    @property
    def is_urgent(self) -> bool:
        """True if there is a document that can be written."""
        return self._waiting is not None and time.monotonic() >= self._pause_until

    def write(self, *, sync: bool) -> None:
        """Replaces the file; what cannot be written is tried again later."""
        if self.is_urgent:
            self._write()

    def _write(self) -> None:
        assert self._waiting is not None
        try:
            write_provenance(self.run.run_dir, self._waiting.document)
        except StorageError as exc:
            self._pause_until = time.monotonic() + PAUSE_S
            if not self._is_reported:
                self._is_reported = True
                self.run.note(LogLevel.WARN, f"the provenance cannot be written: {exc}")
        else:
            self._waiting = None

    def settle(self) -> bool:
        """Tries once more."""
        if self._waiting is not None:
            self._write()
        return True
