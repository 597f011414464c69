"""Interrupts a call of expman before any opcode of its code, as a handler or a finalizer may."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import expman

_CODE = os.path.dirname(expman.__file__) + os.sep


def interrupt(call: Callable[[], object], at: int, action: Callable[[], object]) -> bool:
    """Makes a call, and runs the action before its opcode number `at`, from 1.

    Returns:
        False: the call has no such opcode; it was made without interruption.
    """
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(_CODE):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            count += 1
            if count == at:
                sys.settrace(None)
                action()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count >= at


def numbers(stride: int) -> Iterator[int]:
    """Every stride-th number without end; which ones changes from day to day."""
    at = 1 + int(time.time() // 86400) % stride
    while True:
        yield at
        at += stride
