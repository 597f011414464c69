"""Changes of how a run is described while it is live."""

from __future__ import annotations

from collections.abc import Sequence

from expman.checks import check_project, check_tags, check_text_or_none

__all__ = ["Annotations"]


class Annotations:
    """The calls that change a run's project, tags and description while it is live.

    Durability: published when they return, like any record.

    Raises:
        ConfigError: a value is not text; nothing changes.
        RunClosedError: after close().
    """

    def _publish(self, tag: int, *fields: object) -> None:
        raise NotImplementedError

    def set_project(self, project: str | None) -> None:
        """Sets the project of the run and of its experiment; None: it belongs to none.

        Durability: published when it returns. run.yaml and experiment.yaml follow.
        """
        self._annotate("project", None if project is None else check_project("project", project))

    def set_tags(self, tags: Sequence[str]) -> None:
        """Replaces the run's tags; a single text is one tag.

        Durability: published when it returns.
        """
        self._annotate("tags", list(check_tags("tags", tags)))

    def add_tags(self, tags: Sequence[str]) -> None:
        """Adds tags to those of the run; a tag that it has already stays where it is.

        Durability: published when it returns.
        """
        self._annotate("add_tags", list(check_tags("tags", tags)))

    def set_description(self, description: str | None) -> None:
        """Replaces the run's description.

        Durability: published when it returns.
        """
        self._annotate("description", check_text_or_none("description", description))

    def _annotate(self, field: str, value: str | list[str] | None) -> None:
        from expman.transport.encoding import ANNOTATION

        self._publish(ANNOTATION, field, value)
