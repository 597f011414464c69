"""Rows and artifacts that are missing for good: each is raised once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expman import notices
from expman.errors import ArtifactError, FlushError
from expman.shown import count_of

if TYPE_CHECKING:
    from expman.transport.producer import LaneProducer

__all__ = ["Losses"]


class Losses:
    """Losses that the writer has reported in a producer's lane, each raised once.

    Args:
        lane: the producer's.
    """

    def __init__(self, lane: LaneProducer) -> None:
        self._lane = lane
        self._rows = self._artifacts = 0

    def check(self, *, of_owner: bool) -> None:
        """Raises for what is missing and was not raised before.

        Args:
            of_owner: include rows, which are counted for the whole run.

        Raises:
            FlushError: rows are missing.
            ArtifactError: artifacts could not be stored.
        """
        try:
            if of_owner:
                self._check_rows()
        finally:
            self._check_artifacts()

    def warn_of_drops(self, buffer_bytes: int) -> None:
        """Warns of rows that the owner has dropped because its buffer was full."""
        if self._lane.dropped_rows:
            run = self._lane.run_dir
            rows = count_of(self._lane.dropped_rows, f"row of {run} was", f"rows of {run} were")
            notices.warn(
                f"expman: {rows} dropped: the buffer of {buffer_bytes} "
                'bytes was full; raise max_buffer_bytes, or use overflow="block"'
            )

    def _check_rows(self) -> None:
        count = self._lane.control.rows_missing
        before, self._rows = self._rows, count
        if count > before:
            raise FlushError(
                self._lane.run_dir,
                count_of(count - before, "row is missing", "rows are missing") + ", see run.log",
                "they were in files or shared memory that somebody removed or damaged; all "
                "others are durable",
            )

    def _check_artifacts(self) -> None:
        if not self._lane.claimed:
            return
        control = self._lane.control
        count = control.artifacts_missing
        before, self._artifacts = self._artifacts, count
        if count > before:
            raise ArtifactError(
                self._lane.run_dir, control.missing_artifacts[before:], count - before
            )
