"""What the interpreter is ending with: nothing amiss, an uncaught exception, sys.exit(n)."""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

__all__ = ["ExitWatch", "describe"]

_MAX_REASON = 400


class ExitWatch:
    """Tells at exit how the program ended.

    The interpreter keeps an uncaught exception in `sys.last_exc` (`sys.last_value` before
    3.12), but forgets a SystemExit before exit handlers run. So `sys.exit` is wrapped once
    and its latest exception kept: if the frame that it reached last never went on, it was
    not caught. `raise SystemExit(n)` without `sys.exit` cannot be seen.
    """

    _exit: SystemExit | None = None
    _wrapped = False

    def __init__(self) -> None:
        self._before = _uncaught()
        if not ExitWatch._wrapped:
            ExitWatch._wrapped = True
            _wrap_exit()

    def reason(self) -> str | None:
        """Why the run failed, or None if nothing is amiss."""
        exc = _uncaught()
        if exc is not None and exc is not self._before:
            return describe(exc)
        leaving = ExitWatch._exit
        if leaving is None or leaving.code in (None, 0, False) or not _unhandled(leaving):
            return None
        code = leaving.code
        return f"sys.exit({code})" if isinstance(code, int) else f"sys.exit: {code}"


def describe(exc: BaseException) -> str:
    """One line: type, message and place of an exception."""
    text = " ".join(f"{type(exc).__name__}: {exc}".split()).rstrip(": ")
    traceback = exc.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is not None:
        code = traceback.tb_frame.f_code
        text += f" (at {os.path.basename(code.co_filename)}:{traceback.tb_lineno})"
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 1] + "…"


def _uncaught() -> BaseException | None:
    exc = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return exc if isinstance(exc, BaseException) else None


def _unhandled(exc: BaseException) -> bool:
    """Whether the outermost frame that the exception reached stopped right there."""
    traceback = exc.__traceback__
    return traceback is not None and traceback.tb_frame.f_lasti == traceback.tb_lasti


def _wrap_exit() -> None:
    original = sys.exit

    def exit(status: object = None, /) -> NoReturn:
        try:
            original(status)  # type: ignore[arg-type]
        except SystemExit as exc:
            if threading.current_thread() is threading.main_thread():
                ExitWatch._exit = exc
            raise

    exit.__doc__ = original.__doc__
    sys.exit = exit
