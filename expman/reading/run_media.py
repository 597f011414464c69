"""The calls of a run that read its media and histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expman.errors import ExpmanError
from expman.reading.run_machine import RunMachine

if TYPE_CHECKING:
    import pyarrow as pa

    from expman.reading.media import HistogramRow, MediaItem

__all__ = ["RunMedia"]


class RunMedia(RunMachine):
    """What `log_image` and its like have stored. A live run can be read at any moment."""

    def media(self, tag: str | None = None, kind: str | None = None) -> list[MediaItem]:
        """The files in `media/`, in the order in which they were stored.

        Args:
            tag: only those of this tag.
            kind: only "image", "audio", "video", "text", "table" or "confusion_matrix".

        Raises:
            StorageError: media.jsonl cannot be read.
        """
        from expman.reading.media import read_media

        return read_media(self.path, tag, kind)

    def histograms(self, tag: str | None = None) -> list[HistogramRow]:
        """The distributions, in the order of logging.

        Args:
            tag: only those of this tag.

        Raises:
            StorageError: a file cannot be read.
        """
        from expman.reading.media import read_histograms

        return read_histograms(self.path, tag)

    def tables(self, tag: str | None = None) -> dict[str, pa.Table]:
        """The latest table of each tag.

        Args:
            tag: only that of this tag.

        Raises:
            StorageError: a file cannot be read.
        """
        from expman.reading.media import read_table

        latest = {item.tag: item for item in self.media(tag, "table")}
        return {name: read_table(item) for name, item in latest.items()}

    def _observed(self) -> list[tuple[str, str]]:
        from expman.reading.media import facts_of_media

        try:
            facts = facts_of_media(self.path)
        except ExpmanError as exc:
            facts = [("media", str(exc))]
        return [*super()._observed(), *facts]
