"""`expman-writer mirror`: copies one run to an object store, beside its writer, until it has ended.

It is a process of its own: a store that is away, slow or wrong costs the run and its writer
nothing. It ends when the run has ended and is copied; when the store has been away for ten minutes
then; or when the run shows no sign of life any more. What is missing is counted in run.yaml, and
`expman mirror` copies it later.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from expman.errors import ExpmanError, StorageError
from expman.interpreter import start_writer
from expman.models import safe_text
from expman.storage.mirror_state import note_copied
from expman.storage.paths import MIRROR_JSON, MIRROR_LOCK, RUN_YAML
from expman.storage.run_edits import has_ended, note_mirrored
from expman.transport.hello import Hello
from expman.transport.recovery_lock import recovery_lock

if TYPE_CHECKING:
    from expman.storage.object_store import ObjectStore

__all__ = ["mirror_run", "start_mirror"]

EVERY_S = 60.0
_LOOK_S = 0.25
_LOCK_S = 10.0
_PATIENCE_S = 600.0
"""How long the end of a run is tried to be copied."""
_SILENT_S = 300.0
"""run.yaml is renewed every 30 seconds: a run that is silent for so long has nobody any more."""


def start_mirror(hello: Hello) -> None:
    """Starts the process for a run that is to be copied; its failure costs the run nothing."""
    if hello.mirror is not None and hello.role != "worker":
        arguments = ("mirror", hello.run_dir, hello.mirror)
        threading.Thread(target=_start, args=arguments, name="expman-mirror", daemon=True).start()


def _start(*arguments: str) -> None:
    with contextlib.suppress(ExpmanError, OSError):  # run.yaml counts what is not copied
        start_writer(*arguments)


def mirror_run(run_dir: str, url: str) -> bool:
    """Copies a run until it has ended; returns whether the store has it whole.

    Raises:
        ConfigError: the URL cannot be understood.
    """
    from expman.storage.object_store import ObjectStore

    with _alone(run_dir) as is_alone:
        if not is_alone:
            return True  # of a writer that was replaced; it goes on
        store = ObjectStore(url, patience_s=30.0)
        ended_at = None
        while True:
            is_final = _is_final(run_dir)
            # A run that has ended may go on, in another attempt.
            ended_at = (ended_at or time.monotonic()) if is_final else None
            try:
                is_whole = _copy(run_dir, store, is_final=is_final)
                if is_whole and is_final and _is_final(run_dir):  # else it went on meanwhile
                    return True
            except OSError:
                pass  # the disk of the run; it is tried again
            except StorageError:
                pass  # the store
            if ended_at is not None and time.monotonic() > ended_at + _PATIENCE_S:
                return False
            if not _wait(run_dir, _LOOK_S if ended_at is not None else EVERY_S):
                return False


def _copy(run_dir: str, store: ObjectStore, *, is_final: bool) -> bool:
    from expman.storage.run_copy import copy_run

    key = safe_text("/".join(run_dir.rstrip(os.sep).rsplit(os.sep, 2)[-2:]))
    start = len(key) + 1
    objects = {name[start:]: one for name, one in store.list(key).items()}
    found = copy_run(run_dir, store, key, objects, is_live=not is_final)
    if not is_final:
        note_copied(run_dir, found.signatures)
    elif found.whole and note_mirrored(run_dir, store.url, recovery_lock):
        return _copy(run_dir, store, is_final=True)  # run.yaml has changed
    return found.whole


def _is_final(run_dir: str) -> bool:
    try:
        return has_ended(run_dir)
    except StorageError:
        return False


def _wait(run_dir: str, seconds: float) -> bool:
    """Waits for the next copy, or for the end of the run; returns False if nobody is there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        try:
            age_s = time.time() - os.stat(os.path.join(run_dir, RUN_YAML)).st_mtime
        except OSError:
            return os.path.isdir(run_dir)
        if _is_final(run_dir):
            return True
        if age_s > _SILENT_S:
            return False
    return True


@contextlib.contextmanager
def _alone(run_dir: str) -> Iterator[bool]:
    """Keeps others from copying the same run meanwhile; yields whether there is no other."""
    path = os.path.join(run_dir, MIRROR_LOCK)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError:
        yield False
        return
    try:
        if not _locked(fd):
            yield False
            return
        yield True
        for name in (MIRROR_JSON, MIRROR_LOCK):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(run_dir, name))
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    """Takes a lock; whoever has it may be about to end, for the run had ended before it went on."""
    deadline = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_S)
        except OSError:
            return True  # a file system without locks
        else:
            return True
