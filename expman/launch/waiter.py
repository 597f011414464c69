"""Waits for the end of shared writers.

That end is the release of the lock on its address, and a wait for a lock cannot be called off. So
one thread for each address waits, for all runs of this process, and there is no second one
however many runs come and go.
"""

from __future__ import annotations

import os
import threading

from expman.launch.wake import Wake
from expman.transport import segment

__all__ = ["notify", "withdraw"]

_lock = threading.Lock()
_waiting: dict[segment.Address, set[Wake]] = {}


def notify(address: segment.Address, event: Wake) -> None:
    """Has the event set as soon as no writer serves the address."""
    with _lock:
        events = _waiting.get(address)
        if events is not None:
            events.add(event)
            return
        _waiting[address] = {event}
    try:
        threading.Thread(
            target=_wait, args=(address,), name="expman-shared-writer", daemon=True
        ).start()
    except RuntimeError:  # no more threads: the events' owners look again, and ask again
        _release(address)


def withdraw(address: segment.Address, event: Wake) -> None:
    """Cancels a notify()."""
    with _lock:
        _waiting.get(address, set()).discard(event)


def _wait(address: segment.Address) -> None:
    try:
        # By name each time: an address that was removed and made anew is another file.
        base = segment.attach(address.place, address.segment())
        base.wait_for_lock()
        base.close()
    except OSError:
        pass  # it is gone, and with it its writer
    finally:
        _release(address)


def _release(address: segment.Address) -> None:
    with _lock:
        for event in _waiting.pop(address, ()):
            event.set()


def _start_anew() -> None:
    """In a forked child: the thread is not there, and another one may have held the lock."""
    global _lock
    _lock = threading.Lock()
    _waiting.clear()


os.register_at_fork(after_in_child=_start_anew)
