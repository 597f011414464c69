"""Other contents of a run's directory: attempts, messages, console, artifacts, post-mortem."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expman.metadata import Attempt, RunMetadata
from expman.reading.artifactfiles import artifact_paths
from expman.reading.console import ConsoleLine, read_console
from expman.reading.logfile import LogEntry, read_log

if TYPE_CHECKING:
    import pyarrow as pa

    from expman.reading.producers import ProducerState
    from expman.storage.postmortem import PostMortem

__all__ = ["RunContents"]


class RunContents:
    """The part of a Run that reads files of their own."""

    path: str

    @property
    def metadata(self) -> RunMetadata:
        """The whole content of run.yaml."""
        raise NotImplementedError

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts of the run, the present one last; most runs have one.

        Rows of a run that went on are the present line: `vectors()` has no superseded ones.
        """
        return self.metadata.attempts

    def superseded(self) -> pa.Table:
        """The rows that a later attempt has superseded, in the order of logging.

        Returns:
            `step`, `timestamp`, `_attempt`, `_producer`, `_seq` and the metrics.

        Raises:
            StorageError: a file cannot be read.
        """
        from expman.reading.superseded import read_superseded

        return read_superseded(self.path)

    def producers(self) -> list[ProducerState]:
        """Everybody who logs into the run, or has done so: rows, last step, process, and more.

        The owner comes first, then ranks. A process of this machine that has joined the run and
        has logged nothing yet is among them.

        Raises:
            StorageError: a file cannot be read.
        """
        from expman.reading.producers import producers

        return producers(self.path, self.metadata)

    @property
    def postmortem(self) -> PostMortem | None:
        """Report on a run that crashed, failed or hung; None if it did not.

        Raises:
            StorageError: postmortem.json is damaged.
        """
        from expman.storage.postmortem import read_post_mortem

        return read_post_mortem(self.path)

    def log(self) -> list[LogEntry]:
        """The messages of run.log.

        Raises:
            StorageError: it cannot be read.
        """
        return read_log(self.path)

    def console(self, last: int | None = None) -> list[ConsoleLine]:
        """Output of the program, or only so many lines from the end.

        Raises:
            StorageError: it cannot be read.
        """
        return read_console(self.path, last)

    def artifacts(self) -> list[str]:
        """The paths of the saved files, sorted.

        Links to directories are not followed, because they may leave the run.
        """
        return artifact_paths(self.path)
