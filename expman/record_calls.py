"""The calls of an engine that publish one record each, except rows and artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from expman.annotations import Annotations
from expman.media_sending import MediaSending
from expman.models import LogLevel

if TYPE_CHECKING:  # what only a run needs is imported by its first engine
    from expman.transport.producer import LaneProducer

__all__ = ["RecordCalls"]


class RecordCalls(Annotations, MediaSending):
    """Scalars, parameters, messages, media, and how the run is described.

    Durability: published when a call returns; flush() and close() wait until it is durable.
    """

    _lane: LaneProducer

    def _publish(self, tag: int, *fields: object) -> None:
        self._lane.publish(tag, *fields)

    def log_row_at(
        self, values: Mapping[str, object], step: int | None, logged_at_ns: int | None
    ) -> None:
        """Logs a row that was measured at another time, which becomes its `timestamp`.

        Args:
            values: as for `log_vector`.
            step: a whole number, or None.
            logged_at_ns: nanoseconds since the Unix epoch; None: now.

        Durability: published when it returns.

        Raises:
            TypeError, ValueError: naming the key; nothing was logged.
            RunClosedError: after close().
        """
        self._lane.log_row_at(values, step, logged_at_ns)

    def log_scalar(self, key: str, value: object) -> None:
        """Sets a single value of the run; the latest one counts.

        Durability: published when it returns.

        Raises:
            TypeError, ValueError: the key or the value cannot be used.
            RunClosedError: after close().
        """
        from expman.transport import values

        name = values.check_key(key)
        self._lane.log_scalar(name, values.plain_metric(name, value))

    def log_params(self, params: object) -> None:
        """Records parameters; later calls merge at the top level.

        Takes a mapping, or an object with fields: argparse.Namespace, a dataclass, an attrs
        class, a pydantic model, OmegaConf's DictConfig, … Structure is kept at any depth; the
        guide says how each kind of value is kept. What YAML has no kind for becomes text or null,
        with a line in run.log.

        Durability: published when it returns.

        Raises:
            TypeError: the parameters have no names, or a name is not text.
            ValueError: two names have the same text, or there are more than 100,000 values or
                1 Mi characters.
            RecordTooLargeError: they are larger than the buffer.
            RunClosedError: after close().
        """
        self._record_params(params)

    def _record_params(self, params: object) -> dict[str | int, Any]:
        """As `log_params`; returns the parameters as they are kept."""
        from expman.transport.params import plain_params

        plain, note = plain_params(params)
        self._lane.log_params(plain)
        if note:
            self._lane.log_message(LogLevel.WARN, note)
        return plain

    def log_message(self, level: LogLevel | str, message: object) -> None:
        """Adds a line to run.log: the message's str().

        Durability: published when it returns.

        Raises:
            ValueError: the level is not INFO, WARN or ERROR.
            TypeError: the message has no str().
            RecordTooLargeError: the message is larger than the buffer.
            RunClosedError: after close().
        """
        from expman.transport.values import plain_text

        self._lane.log_message(LogLevel.parse(level), plain_text("message", message))
