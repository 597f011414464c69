"""The exit status of a process, as libc stores it when Python is gone.

While exit handlers run, nothing in Python knows the exit status: `raise SystemExit(3)` is over, and
its 3 is in a C variable. libc's exit() gets it, and passes it to functions that were registered
with on_exit(). No Python code can run by then, but libc's own functions can:

- srand48_r(seed, buffer) stores its first argument in its second: the exit status in the lane's
  control. `X` are the 16-bit words of struct drand48_data that hold it; INIT is 1 once it is there.
- nanosleep(time, remainder), registered many times over, waits for the writer. The time stands in
  the lane's control, too: the writer sets it to zero once it has written the status, and all the
  waits that are left return at once. So a program's end is not seen before its run's.

Both are glibc's: elsewhere `is_available()` is False.
"""

from __future__ import annotations

import os
from typing import Any

from expman.transport import layout
from expman.transport.lane_control import LaneControl

__all__ = ["arm", "is_available", "let_wait", "read", "release", "store"]

X_LOW, X_HIGH, INIT = 1, 2, 7
PAUSES = ((layout.EXIT_PAUSE, 10**6, 100), (layout.EXIT_LONG_PAUSE, 10**7, 490))
"""Words of the time, nanoseconds, how often: five seconds together."""


def is_available() -> bool:
    """True if the C library can store the exit status."""
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, OSError, ValueError):
        return False


def arm(control: LaneControl, owner: object) -> None:
    """Has the exit status of this process stored in a lane's control. Cannot be taken back.

    Args:
        control: the control. Its mapping stays until the kernel takes it.
        owner: an object that must outlive Python, too: what keeps the lane's lock.

    Raises:
        OSError: the C library cannot do that.
    """
    import ctypes  # a program that never gets here does without

    libc = ctypes.CDLL("libc.so.6")
    address = ctypes.addressof(ctypes.c_char.from_buffer(control.words))
    for kept in (control.words, owner):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    try:
        sleep = ctypes.cast(libc.nanosleep, ctypes.c_void_p)
        seed = ctypes.cast(libc.srand48_r, ctypes.c_void_p)
        add, add_with_status = libc["__cxa_atexit"], libc.on_exit
    except AttributeError as exc:
        raise OSError(str(exc)) from exc
    add.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    add_with_status.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    # They are called in the reverse order: the status first.
    for word, _, times in reversed(PAUSES):
        for _ in range(times):
            add(sleep, address + 8 * word, None)
    if add_with_status(seed, address + 8 * layout.EXIT_RECORD):
        raise OSError("on_exit() failed")
    os.register_at_fork(after_in_child=lambda: _cut_off(libc, address))


def _cut_off(libc: Any, address: int) -> None:
    """In a forked child: its exit status goes into a page of its own, and nothing waits."""
    import ctypes

    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        *3 * [ctypes.c_int],
        ctypes.c_long,
    ]
    read_write, private_fixed_anonymous = 3, 0x32
    libc.mmap(address, layout.CONTROL_BYTES, read_write, private_fixed_anonymous, -1, 0)


def let_wait(control: LaneControl) -> None:
    """In the producer: makes its end wait for the writer, some seconds at most."""
    for word, pause_ns, _ in PAUSES:
        control.words[word + 1] = pause_ns


def release(control: LaneControl) -> None:
    """In the writer: ends the producer's wait."""
    for word, _, _ in PAUSES:
        control.words[word + 1] = 0


def store(control: LaneControl, status: int) -> None:
    """Stores the status of os._exit(), which libc's exit() does not see."""
    halves = _halves(control.words)
    halves[X_LOW], halves[X_HIGH] = status & 0xFFFF, status >> 16 & 0xFFFF
    halves[INIT] = 1


def read(control: LaneControl) -> int | None:
    """The exit status of the lane's producer; None if it has not come to exit()."""
    halves = _halves(control.words)
    if halves[INIT] != 1:
        return None
    status = int(halves[X_LOW] | halves[X_HIGH] << 16)
    return status - 2**32 if status >= 2**31 else status


def _halves(words: memoryview) -> memoryview:
    record = words[layout.EXIT_RECORD : layout.EXIT_RECORD + layout.EXIT_RECORD_WORDS]
    return record.cast("B").cast("H")
