"""A stand-in for the lane of a run that cannot be joined any more."""

from __future__ import annotations

from typing import NoReturn

from expman.errors import ExpmanError

__all__ = ["NoLane"]


class NoLane:
    """Takes no record: every call raises the error that says why.

    An engine that was pickled with a checkpoint must load after its run has ended, too.
    """

    claimed = False
    dropped_rows = 0
    gate = None

    def __init__(self, error: ExpmanError) -> None:
        self._error = error

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise self._error.with_traceback(None)

    publish = offer = log_row_at = log_vector = log_scalar = log_params = log_message = (
        request_flush
    ) = _refuse

    def forget(self) -> None:
        """In a forked child: there is nothing to forget."""

    def let_go(self) -> None:
        """After close(): there is no memory to give back."""
