"""A part of a run's files whose failure costs no other part."""

from __future__ import annotations

from collections.abc import Callable

from expman.errors import StorageError
from expman.models import reason_of

__all__ = ["TRIES", "Part"]

TRIES = 8
"""What fails so often in a row for a reason that is not the disk's is given up."""


class Part:
    """Writes one part, and tells trouble of the disk from everything else.

    Args:
        name: for messages.
        write: does the work; after a StorageError it is called again.
        give_up: called with the reason after `TRIES` other failures: drops what cannot be
            written and has that said in run.log.
    """

    def __init__(
        self, name: str, write: Callable[[], None], give_up: Callable[[str], None]
    ) -> None:
        self._name = name
        self._write = write
        self._give_up = give_up
        self._failures = 0

    def __call__(self) -> None:
        """Does it.

        Raises:
            StorageError: call it again.
        """
        try:
            self._write()
        except StorageError:
            raise
        except Exception as exc:
            why = reason_of(exc)
            self._failures += 1
            if self._failures < TRIES:
                raise StorageError(self._name, f"cannot be written: {why}") from exc
            self._give_up(why)
        self._failures = 0
