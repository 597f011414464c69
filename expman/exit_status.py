"""What the interpreter is ending with: nothing amiss, an uncaught exception, sys.exit(n)."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from types import FrameType
from typing import ClassVar, NamedTuple, NoReturn

__all__ = ["ExitWatch", "describe"]

_MAX_REASON = 400
# What a frame ends with, or stands at, that an exception did not end.
_ORDERLY = ("RETURN_VALUE", "RETURN_CONST", "YIELD_VALUE")


class _Exit(NamedTuple):
    code: object
    frames: list[FrameType]  # from the caller of sys.exit outwards


class ExitWatch:
    """Tells at exit how the program ended.

    The interpreter keeps an uncaught exception in `sys.last_exc` (`sys.last_value` before
    3.12), but forgets a SystemExit before exit handlers run. So `sys.exit` is wrapped once
    and remembers the frames that it was called in: whoever catches its exception goes on, and
    ends with a return at last; a frame that stands elsewhere was ended by the exception. (Its
    traceback does not tell: before 3.12 nothing is added to it on the way out.) The latest few
    are kept, because one may be caught while another passes. `raise SystemExit(n)` without
    `sys.exit` cannot be seen.
    """

    _exits: ClassVar[deque[_Exit]] = deque(maxlen=4)
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
        for code, frames in reversed(ExitWatch._exits):
            if any(map(_went_on, frames)):
                continue
            if isinstance(code, int | None):
                return f"sys.exit({code})" if code else None
            return f"sys.exit: {code}"
        return None


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


def _went_on(frame: FrameType) -> bool:
    """Whether a frame has returned, or a generator has yielded."""
    from opcode import opname

    at = frame.f_lasti
    return at >= 0 and opname[frame.f_code.co_code[at]] in _ORDERLY


def _wrap_exit() -> None:
    original = sys.exit

    def exit(status: object = None, /) -> NoReturn:
        if threading.current_thread() is threading.main_thread():
            ExitWatch._exits.append(_Exit(status, list(_frames(sys._getframe(1)))))
        original(status)  # type: ignore[arg-type]

    exit.__doc__ = original.__doc__
    sys.exit = exit


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
