"""Parameters: to config.yaml."""

from __future__ import annotations

from expman.models import LogLevel
from expman.storage.configfile import ConfigFile
from expman.transport import records as wire
from expman.writer.lanes import LaneState
from expman.writer.open_run import OpenRun
from expman.writer.sinks.sink import Sink

__all__ = ["ParamSink"]

_SHOWN_NAMES = 20


class ParamSink(Sink):
    """Parameters. To merge them once more, after a kill, changes nothing."""

    name = "config.yaml"

    def __init__(self, run: OpenRun) -> None:
        super().__init__(run)
        self._params: dict[str, object] = {}
        self._file = ConfigFile(run.run_dir)

    def take(self, record: wire.Params, lane: LaneState | None, number: int) -> None:
        """Takes parameters; later ones replace earlier ones at the top level."""
        self._params.update(record.params)

    @property
    def has_pending(self) -> bool:
        """True if parameters wait in memory."""
        return bool(self._params)

    def write(self, *, sync: bool) -> None:
        """Merges the parameters into config.yaml, which is durable at once."""
        if not self._params:
            return
        problems = self._file.merge(self._params)
        self._params = {}
        for problem in problems:
            self.run.note(LogLevel.WARN, problem)

    def leave_out(self, why: str) -> None:
        """Gives the parameters up."""
        names = ", ".join(list(self._params)[:_SHOWN_NAMES])
        self._params = {}
        self.run.note(LogLevel.ERROR, f"parameters were left out ({names}): {why}")
