"""A print that is interrupted at any opcode, by Ctrl-C or by a handler that prints."""

from __future__ import annotations

import contextlib
import dis
import functools
import gc
import itertools
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from opcodes import interrupt

from expman.capture.console import ConsoleTap

_LOOKS = {dis.opmap[name] for name in ("CALL", "CALL_FUNCTION_EX", "RESUME") if name in dis.opmap}
"""Opcodes at whose end Python looks for signals."""


def ctrl_c(call: Callable[[], object], at: int) -> bool:
    """Makes a call, and raises at the place number `at` where Python looks for signals.

    Returns:
        False: the call has no such place.
    """
    count = 0
    last: tuple[FrameType | None, int] = (None, 0)

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count, last
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            looks = last[0] is frame and last[1] in _LOOKS
            last = frame, frame.f_code.co_code[frame.f_lasti]
            count += looks
            if looks and count == at:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    gc.disable()  # a callback of the collector, as Hypothesis has one, would swallow Ctrl-C
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
        gc.enable()
    return count >= at


def record_from_another_thread(tap: ConsoleTap) -> None:
    thread = threading.Thread(target=tap.add, args=("out", "other\n"))
    thread.start()
    thread.join()


def test_ctrl_c_leaves_no_lock_behind() -> None:
    """After Ctrl-C wherever Python notices it, the next print of another thread is recorded."""
    for at in itertools.count(1):
        records: list[str] = []

        def offer(tag: int, name: str, text: str, lost: int, to: list[str] = records) -> bool:
            to.append(text)
            return True

        tap = ConsoleTap(offer)
        is_done = False
        with contextlib.suppress(KeyboardInterrupt):
            is_done = not ctrl_c(functools.partial(tap.add, "out", "a\n"), at)
        record_from_another_thread(tap)
        assert "other" in "".join(records), at
        if is_done:
            return


def test_a_handler_prints_in_the_middle() -> None:
    """Before any opcode: both lines are recorded once."""
    for at in itertools.count(1):
        records: list[str] = []

        def offer(tag: int, name: str, text: str, lost: int, to: list[str] = records) -> bool:
            to.append(text)
            return True

        tap = ConsoleTap(offer)
        first, second = (functools.partial(tap.add, "out", text) for text in ("a\n", "b\n"))
        has_more = interrupt(first, at, second)
        if not has_more:
            return
        assert ["a\n", "b\n"] == sorted("".join(records).splitlines(keepends=True)), at


def test_lines_are_counted_not_writes() -> None:
    """A queue that is full costs as many lines as the program ended."""
    tap = ConsoleTap(lambda *_: True)
    tap._lock.acquire()
    tap._waiting.extend([("out", "x\n")] * 5000)
    for piece in ("a", " ", "b", "\n", "c\nd\n"):
        tap.add("out", piece)
    assert 3 == tap.lost_lines
    tap._lock.release()
