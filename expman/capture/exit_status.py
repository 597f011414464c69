"""Finds how the program ends: normally, by an exception, by sys.exit(n) or os._exit(n)."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn, Protocol

from expman.models import UNCAUGHT, UNCAUGHT_IN
from expman.preemption import Preempted
from expman.transport import exit_record

__all__ = [
    "ChildEnd",
    "ExitWatch",
    "child_end",
    "describe",
    "describe_exit",
    "note_interrupt",
    "traceback_in_worker",
    "traceback_of",
    "watch_os_exit",
]

_MAX_REASON = 400
_MAX_TRACEBACK = 32_000
_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_CODE: Any = vars(SystemExit)["code"]
_RUNPY = ("<frozen runpy>", "runpy.py")


class ExitWatch:
    """Reads from Python, while exit handlers run, how the program ended.

    The interpreter keeps an uncaught exception in `sys.last_exc` (`sys.last_value` before 3.12).
    So does an interactive shell with every mistake of its user, which ends nothing. And a
    SystemExit is forgotten before exit handlers run: its code is the exit status, and libc knows
    it (`exit_record`). Only where libc does not, or where the process is that of a program which
    embeds Python and may go on without it, `sys.exit` is wrapped.

    Attributes:
        knows_exits: the exit status needs not be asked for.
    """

    knows_exits = False

    def __init__(self) -> None:
        self._before = _shown()
        embedded = not sys.orig_argv  # nobody gave this Python a command line
        if (embedded or not exit_record.is_available()) and not ExitWatch.knows_exits:
            ExitWatch.knows_exits = True
            _wrap_exit()

    def error(self) -> str | None:
        """The exception that was shown last, since this run began."""
        exc = _shown()
        return None if exc is None or exc is self._before else describe(exc)

    def exception(self) -> BaseException | None:
        """The exception that was shown last, since this run began."""
        exc = _shown()
        return None if exc is self._before else exc

    def is_end(self) -> bool:
        """True if that exception ended the program, and was not shown by a shell."""
        exc = _shown()
        if exc is None or exc is self._before:
            return False
        traceback = exc.__traceback__
        while traceback is not None and _file_of(traceback).endswith(_RUNPY):
            traceback = traceback.tb_next
        if traceback is None:
            return False
        frame, name = traceback.tb_frame, _file_of(traceback)
        return (
            frame.f_code.co_name == "<module>"
            and frame.f_globals.get("__name__") == "__main__"
            and (name == "<string>" or not name.startswith("<"))  # a shell's input is <stdin>, …
        )

    def wrapped_code(self) -> str | None:
        """Argument of `sys.exit`, where it is wrapped."""
        return _describe_code(_Exit.final_code)


class ChildEnd(Protocol):
    """Callback for the end of a child of multiprocessing."""

    def cancel(self) -> None:
        """Has it not called any more."""
        ...


def child_end(close: Callable[[BaseException | None], None]) -> ChildEnd | None:
    """In a child of multiprocessing, has `close` called at its end with what it raised.

    Such a child ends by os._exit(), without exit handlers, but calls what multiprocessing calls
    finalizers. Ours come last: children of its own, which may log, have been joined by then.
    """
    process = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if process is None or util is None or process.parent_process() is None:
        return None
    # They are called while the exception is on its way.
    end: ChildEnd = util.Finalize(None, lambda: close(sys.exc_info()[1]), exitpriority=-100)
    return end


def watch_os_exit(close: Callable[[int], None]) -> None:
    """Has `close` called with the status if an exit handler calls os._exit().

    Outside of exit handlers os._exit() is left as it is.
    """

    def wrap() -> None:
        original = os._exit

        def _exit(status: int) -> NoReturn:
            try:
                close(status)
            finally:
                original(status)

        os._exit = _exit

    register = getattr(threading, "_register_atexit", None)  # these come before all of atexit's
    if register is None:
        return
    try:
        register(wrap)
    except RuntimeError:  # exit handlers run already
        wrap()


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


def describe_exit(exc: BaseException | None) -> str | None:
    """Reason of a failure by this exception; None if it is no failure."""
    if not isinstance(exc, SystemExit):
        return None if exc is None else describe(exc)
    return _describe_code(exc.code)


def describe(exc: BaseException) -> str:
    """One line: type and message of an exception, and the last line that is not expman's own."""
    if isinstance(exc, Preempted):
        return str(exc)
    text = " ".join(f"{type(exc).__name__}: {exc}".split()).rstrip(": ")
    traceback = place = exc.__traceback__
    while traceback is not None:
        if not _file_of(traceback).startswith(_PACKAGE):
            place = traceback
        traceback = traceback.tb_next
    if place is not None:
        text += f" (at {os.path.basename(_file_of(place))}:{place.tb_lineno})"
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 1] + "…"


def traceback_of(exc: BaseException, first_line: str = UNCAUGHT) -> str:
    """A line and the traceback of an exception, with those that it came from."""
    import traceback

    lines = "".join(traceback.format_exception(exc)).rstrip("\n")
    if len(lines) > _MAX_TRACEBACK:
        lines = f"{lines[: _MAX_TRACEBACK // 2]}\n…\n{lines[-_MAX_TRACEBACK // 2 :]}"
    return f"{first_line}\n{lines}"


def traceback_in_worker(exc: BaseException) -> str:
    """The same for an exception that ends this process, and not the run."""
    return traceback_of(exc, f"{UNCAUGHT_IN}{os.getpid()}:")


def note_interrupt() -> None:
    """Has the exit status be that of SIGINT, though exit handlers have compiled text.

    CPython notes that a KeyboardInterrupt has ended the text of a program, and forgets it when
    other text is evaluated, that of a named tuple in a module that is imported late, say. So this
    text ends the same way.
    """
    with contextlib.suppress(KeyboardInterrupt):
        eval("interrupt()", {"interrupt": _interrupt})


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt


def _describe_code(code: object) -> str | None:
    if code in (None, 0):
        return None
    return f"sys.exit({code})" if isinstance(code, int) else f"sys.exit: {code}"


def _shown() -> BaseException | None:
    exc = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return exc if isinstance(exc, BaseException) else None


def _file_of(traceback: TracebackType) -> str:
    return traceback.tb_frame.f_code.co_filename


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
