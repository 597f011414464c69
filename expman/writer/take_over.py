"""Begins the next attempt of a run that exists: the last one has ended, and its rows give way.

Order of steps, so that a kill at any point leaves a run that can be taken over again: the last
attempt gets its end (`recover`, if nobody runs it any more); the attempt's number is claimed by a
file that only one process can make; rows are superseded; run.yaml is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable

import msgspec

from expman.errors import ResumeError
from expman.failpoints import hit
from expman.metadata import PRUNED, RunMetadata
from expman.models import LogLevel, RunStatus
from expman.storage.journal import Journal, known_state, set_aside_damage
from expman.storage.paths import (
    ATTEMPT_MARK,
    NEW_FILE,
    POST_MORTEM_JSON,
    POST_MORTEM_MD,
    PROVENANCE_YAML,
    RUN_YAML,
    of_attempt,
    storage_error,
)
from expman.storage.run_edits import remove_taken, take_late_changes
from expman.storage.runlog import RunLog
from expman.storage.supersede import supersede
from expman.storage.times import iso
from expman.storage.vectors import VectorStore
from expman.storage.yamlfile import RunFile
from expman.transport import places
from expman.transport.identity import this_host
from expman.transport.recovery_lock import recovery_lock
from expman.writer.outcome import guarded
from expman.writer.recover_files import finish_from_files
from expman.writer.recover_memory import finish_from_memory
from expman.writer.stale import SILENT_S, StaleRun, gates_of, is_of_this_machine, stale_addresses

__all__ = ["take_over"]

WAIT_S = SILENT_S + 60.0
"""How long the last attempt's end is waited for: a host that went away shows only by silence."""
LOOK_S = 0.2
YOUNG_S = 10.0
"""A run of this host without a lane may be on its way to its first one for so long."""


def take_over(
    run_dir: str,
    pid: int,
    from_step: int | None,
    wait_s: float = WAIT_S,
    is_called_off: Callable[[], bool] = lambda: False,
) -> int:
    """Begins the next attempt of a run.

    Args:
        run_dir: the run's directory.
        pid: of the process that owns the attempt.
        from_step: rows of earlier attempts from this step on are superseded; None: none are.
        wait_s: how long the last attempt's end is waited for.
        is_called_off: True once nobody waits for the attempt any more.

    Returns:
        The number of the attempt, from 2.

    Durability: durable when it returns.

    Raises:
        ResumeError: the run is live, or another process takes it over, or it was called off.
        StorageError: a file cannot be read or written; it may be tried again.
    """
    give_up_at = time.monotonic() + wait_s
    while True:
        _await_end(run_dir, give_up_at, is_called_off)
        with recovery_lock(os.path.realpath(run_dir)) as is_held:
            if is_called_off():  # rows would give way for an attempt that never comes
                raise ResumeError(run_dir, "the process that wanted to go on with it has ended")
            if is_held and (attempt := _begin(run_dir, pid, from_step)):
                return attempt
        if time.monotonic() > give_up_at:
            raise ResumeError(run_dir, "another process is taking it over")
        time.sleep(LOOK_S)


# -- the end of the last attempt -------------------------------------------------------


def _await_end(run_dir: str, give_up_at: float, is_called_off: Callable[[], bool]) -> None:
    """Waits until the last attempt has ended; ends it if nobody runs it any more.

    Raises:
        ResumeError: it is live, or does not end.
    """
    reported = ""
    while not is_called_off() and (why := _what_holds(run_dir)) is not None:
        if time.monotonic() > give_up_at:
            raise ResumeError(run_dir, f"{why}; end that process, or try again later")
        if why != reported:
            reported = why
            sys.stderr.write(f"run {run_dir} will go on, but {why}; waiting\n")
            sys.stderr.flush()
        time.sleep(LOOK_S)


def _what_holds(run_dir: str) -> str | None:
    """What keeps the run from going on; None: it has ended.

    Raises:
        ResumeError: its owner lives.
    """
    real = os.path.realpath(run_dir)
    for stale in stale_addresses():
        if real in map(os.path.realpath, stale.runs):
            for outcome in guarded(finish_from_memory, stale, run_dir):
                if not outcome.ok:
                    raise ResumeError(run_dir, str(outcome))
    has_lanes = False
    for gate in gates_of(real):
        if gate.is_done:  # a process still has it: a worker that has outlived its run, say
            continue
        has_lanes = True
        if gate.hello.role == "owner" and gate.owner_lives:
            raise ResumeError(run_dir, f"process {gate.hello.pid} of this host logs into it")
    if has_lanes:
        return "its writer has not finished the last attempt yet"
    meta = known_state(run_dir)
    if meta is None:
        return _what_makes(run_dir)
    if meta.status is not RunStatus.RUNNING:
        return None
    dead, why = _judge(run_dir, meta)
    if not dead:
        return why
    with recovery_lock(os.path.dirname(os.path.dirname(real))) as is_held:
        if not is_held:
            return "a recovery of its base directory is at work"
        for outcome in finish_from_files(StaleRun(run_dir, True, why)):
            if not outcome.ok:
                raise ResumeError(run_dir, str(outcome))
    return None


def _what_makes(run_dir: str) -> str | None:
    """What keeps a directory without a run from being one; None: its maker was killed."""
    with contextlib.suppress(OSError):
        is_made = os.path.lexists(os.path.join(run_dir, RUN_YAML))
        if not is_made and abs(time.time() - os.stat(run_dir).st_mtime) < YOUNG_S:
            return "it is being made just now"
    return None


def _judge(run_dir: str, meta: RunMetadata) -> tuple[bool, str]:
    """Whether a run without a lane on this host is dead, and why or why not."""
    path = os.path.join(run_dir, RUN_YAML)
    try:
        silent_s = abs(time.time() - os.stat(path).st_mtime)
    except OSError:
        silent_s = SILENT_S
    host = meta.host
    here = this_host(places.SHM)
    if is_of_this_machine(host, here):
        if host.boot_id != here.boot_id:
            return True, "the machine was restarted"
        if host.memory_id in {places.place_id(place) for place in places.all_places()}:
            why = "it has begun just now"
            return silent_s >= YOUNG_S, "its shared memory is gone" if silent_s >= YOUNG_S else why
    where = host.hostname or "an unknown host"
    if silent_s >= SILENT_S:
        return True, f"nothing was heard of it for {silent_s:.0f} s; it ran on {where}"
    return False, f"it was alive on {where} less than {SILENT_S:.0f} s ago"


# -- the begin of the next one ---------------------------------------------------------


def _begin(run_dir: str, pid: int, from_step: int | None) -> int:
    """Begins an attempt; returns its number, or 0 if it must be tried again.

    Raises:
        StorageError: it may be tried again.
    """
    if _what_holds(run_dir) is not None:
        return 0
    damage = set_aside_damage(run_dir)
    experiment_dir, name = os.path.split(os.path.abspath(run_dir))
    meta = known_state(run_dir) or RunMetadata(
        name=name, experiment=os.path.basename(experiment_dir), status=RunStatus.CRASHED
    )
    attempt = meta.attempt + 1
    if not _claim(run_dir, attempt, pid):
        return 0
    hit("take-over-claimed")
    with contextlib.closing(VectorStore(run_dir)) as store:
        store.finish()
    moved = 0 if from_step is None else supersede(run_dir, from_step)
    hit("take-over-superseded")
    with contextlib.closing(VectorStore(run_dir)) as store:
        meta.rows_superseded, meta.rows_written = store.rows_superseded, store.rows_written
        store.summarize(meta)
    for file in (POST_MORTEM_JSON, POST_MORTEM_MD, PROVENANCE_YAML):
        with contextlib.suppress(FileNotFoundError):
            old = os.path.join(run_dir, file)
            os.rename(old, os.path.join(run_dir, of_attempt(file, attempt - 1)))
    log = RunLog(run_dir)
    log.mend()
    notes = [(LogLevel.ERROR, damage)] if damage is not None else []
    notes.append((LogLevel.INFO, _describe(attempt, from_step, moved)))
    log.append([(level, time.time_ns(), text) for level, text in notes])
    log.sync()
    for field, value in take_late_changes(run_dir).items():  # that the last attempt did not take
        setattr(meta, field, value)
    _turn(meta, attempt, pid, from_step)
    hit("take-over-before-yaml")
    RunFile(run_dir).write(meta)
    remove_taken(run_dir)
    Journal(run_dir).remove()
    return attempt


def _describe(attempt: int, from_step: int | None, moved: int) -> str:
    text = f"attempt {attempt} begins"
    if from_step is None:
        return text
    return f"{text} at step {from_step}; {moved} rows of earlier attempts are superseded"


def _turn(meta: RunMetadata, attempt: int, pid: int, from_step: int | None) -> None:
    """From the last attempt's metadata to those of the next one."""
    meta.earlier_attempts = meta.attempts
    meta.attempt, meta.from_step = attempt, from_step
    meta.attempt_started_at = iso(time.time_ns())
    meta.status, meta.reason = RunStatus.RUNNING, None
    meta.finished_at = meta.duration_secs = meta.stalled_since = None
    if meta.pruned is not None:  # the attempt before was
        meta.pruned, meta.tags = None, [tag for tag in meta.tags or () if tag != PRUNED] or None
    meta.stalled, meta.processes_lost = [], 0
    meta.heartbeat_at = meta.attempt_started_at
    meta.host = msgspec.structs.replace(this_host(places.SHM), pid=pid)


def _claim(run_dir: str, attempt: int, pid: int) -> bool:
    """Claims the number of an attempt, by a file that only one process can make.

    Processes of this host have a lock besides, so a claim of this host whose attempt is not in
    run.yaml was left by a process that was killed. One of another host is left once it is old.

    Raises:
        StorageError: it cannot be made.
    """
    path = os.path.join(run_dir, f"{ATTEMPT_MARK}{attempt}")
    here = this_host(places.SHM)
    for _ in range(2):
        try:
            fd = os.open(path, NEW_FILE, 0o644)
        except FileExistsError:
            if not _is_left(path, here.hostname):
                return False
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            continue
        except OSError as exc:
            raise storage_error(path, exc) from exc
        with os.fdopen(fd, "w") as file:
            json.dump({"host": here.hostname, "pid": pid, "at": iso(time.time_ns())}, file)
        return True
    return False


def _is_left(path: str, hostname: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        is_ours = isinstance(found, dict) and found.get("host") == hostname
        return is_ours or time.time() - os.stat(path).st_mtime > SILENT_S
    except FileNotFoundError:
        return True
    except (OSError, ValueError):  # torn: its maker was killed, or is at it
        with contextlib.suppress(OSError):
            return time.time() - os.stat(path).st_mtime > YOUNG_S
        return False
