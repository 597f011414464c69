"""What the interpreter is ending with: nothing amiss, an uncaught exception, sys.exit(n)."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, NoReturn

__all__ = ["ExitWatch", "describe"]

_MAX_REASON = 400
_CODE: Any = vars(SystemExit)["code"]


class ExitWatch:
    """Tells at exit how the program ended.

    The interpreter keeps an uncaught exception in `sys.last_exc` (`sys.last_value` before
    3.12), but forgets a SystemExit before exit handlers run. So `sys.exit` is wrapped once
    and its exception tells when the interpreter asks for its code, which it does for an
    uncaught one only. `raise SystemExit(n)` without `sys.exit` cannot be seen.
    """

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
        code = _Exit.final_code
        if code in (None, 0, False):
            return None
        return f"sys.exit({code})" if isinstance(code, int) else f"sys.exit: {code}"


class _Exit(SystemExit):
    """A SystemExit that notices when the interpreter ends with it."""

    final_code: object = None

    @property  # type: ignore[override]
    def code(self) -> object:
        code: object = _CODE.__get__(self)
        try:
            sys._getframe(1)
        except ValueError:  # no Python code asks: it is the interpreter's own top level
            _Exit.final_code = code
        return code

    @code.setter
    def code(self, value: object) -> None:
        _CODE.__set__(self, value)

    def __reduce__(self) -> tuple[type[SystemExit], tuple[object, ...]]:
        return SystemExit, self.args


_Exit.__name__ = _Exit.__qualname__ = "SystemExit"


def describe(exc: BaseException) -> str:
    """One line: type, message and place of an exception."""
    text = " ".join(f"{type(exc).__name__}: {exc}".split()).rstrip(": ")
    traceback = exc.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        if traceback.tb_next.tb_frame.f_code.co_filename == __file__:
            break  # the wrapper of sys.exit is not the place
        traceback = traceback.tb_next
    if traceback is not None:
        code = traceback.tb_frame.f_code
        text += f" (at {os.path.basename(code.co_filename)}:{traceback.tb_lineno})"
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 1] + "…"


def _uncaught() -> BaseException | None:
    exc = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return exc if isinstance(exc, BaseException) else None


def _wrap_exit() -> None:
    original = sys.exit

    def exit(status: object = None, /) -> NoReturn:
        try:
            original(status)  # type: ignore[arg-type]
        except SystemExit as exc:
            # Threads end silently with SystemExit itself, not with a subclass.
            if threading.current_thread() is not threading.main_thread():
                raise
            raise _Exit(*exc.args) from None

    exit.__doc__ = original.__doc__
    sys.exit = exit
