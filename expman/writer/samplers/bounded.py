"""Calls that may hang: in a thread of their own, and not waited for beyond a limit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["BoundedCall"]

_Result = TypeVar("_Result")


class BoundedCall(Generic[_Result]):
    """One function that may hang. While a call of it hangs, no other is begun.

    Args:
        function: what is called.

    Attributes:
        error: what the last call that returned has raised; None if it has raised nothing.
    """

    def __init__(self, function: Callable[[], _Result]) -> None:
        self._function = function
        self._thread: threading.Thread | None = None
        self._results: list[_Result] = []
        self.error: Exception | None = None

    @property
    def hangs(self) -> bool:
        """True if a call has not returned yet."""
        return self._thread is not None and self._thread.is_alive()

    def call(self, timeout_s: float) -> _Result | None:
        """Calls the function, or waits for the call that is under way.

        Returns:
            What it returned; None if it has not returned in time, or raised (see `error`).
        """
        if not self.hangs:
            self._results.clear()  # of a call that came back too late
            self._thread = threading.Thread(target=self._run, name="expman-bounded", daemon=True)
            self._thread.start()
        assert self._thread is not None
        self._thread.join(timeout_s)
        return None if self.hangs or not self._results else self._results.pop()

    def _run(self) -> None:
        try:
            self.error = None
            self._results.append(self._function())
        except Exception as exc:  # noqa: BLE001 - whoever calls looks at it
            self.error = exc
