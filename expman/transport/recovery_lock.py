"""A lock of this host and user on a base directory: one recovery at a time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from expman.transport import places, segment

__all__ = ["recovery_lock", "take_recovery_lock"]

_PREFIX = "expman-lock"
_PATIENCE_S = 0.5


@contextlib.contextmanager
def recovery_lock(path: str) -> Iterator[bool]:
    """Holds the lock of a directory for a block; it gets whether it does."""
    lock = take_recovery_lock(path)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.unlink()
            lock.close()


def take_recovery_lock(base_dir: str) -> segment.Segment | None:
    """Takes the lock of a base directory; None if another process has it.

    Each takes a lock under a name that nobody can guess, and looks for others of this user
    afterwards: of two at once the second one sees the first.
    """
    import hashlib  # with OpenSSL, 4 MB: a writer imports this module, and seldom takes the lock
    import random

    digest = hashlib.sha256(f"{os.getuid()}:{base_dir}".encode(errors="replace")).hexdigest()
    start = f"{_PREFIX}{digest[:32]}-"
    place = next(place for place in places.all_places() if places.place_id(place))
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        lock = segment.create(place, f"{start}{places.fresh_number()}", 8)
        lock.try_lock()
        if not _others_at_work(place, start, lock.name):
            return lock
        lock.unlink()
        lock.close()
        if time.monotonic() > deadline:
            return None
        time.sleep(random.uniform(0.01, 0.1))  # two that saw each other both gave way


def _others_at_work(place: str, start: str, own: str) -> bool:
    for name in places.list_names(place, start):
        if name == own:
            continue
        if segment.is_locked_here(place, name):
            return True
        try:
            other = segment.attach(place, name)
        except FileNotFoundError:
            continue
        if other.is_locked():
            return True
        if time.time() - os.fstat(other.fd).st_ctime > 1:
            other.unlink()  # its holder was killed
    return False
