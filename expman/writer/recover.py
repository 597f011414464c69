"""Finishes runs whose trainer and writer are both gone."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator

from expman.errors import ExpmanError, StorageError
from expman.interpreter import writer_command, writer_environment
from expman.models import LogLevel, RunMetadata, RunStatus
from expman.storage.runlog import RunLog
from expman.storage.times import iso, seconds_between
from expman.storage.vectors import VectorStore
from expman.storage.yamlfile import RunFile
from expman.transport import segment
from expman.transport.address import revive_address
from expman.writer.server import AddressTakenError, Server, remove_leftovers
from expman.writer.stale import (
    StaleAddress,
    StaleRun,
    served_runs,
    stale_addresses,
    stale_runs,
)

__all__ = ["Outcome", "RecoverSoon", "recover"]

RECOVERY_S = 600.0
TROUBLE_S = 5.0
_LOCK_PREFIX = "expmanlock-"
_SCAN_DELAY_S = 1.0


class Outcome(str):
    """A line for the user.

    Attributes:
        ok: nothing is left to be done about it.
    """

    ok: bool

    def __new__(cls, text: str, ok: bool = True) -> Outcome:
        self = super().__new__(cls, text)
        self.ok = ok
        return self


def recover(base_dir: str, *, dry_run: bool = False, any_host: bool = False) -> Iterator[Outcome]:
    """Finishes the runs below a base directory that nobody runs any more.

    What is still in shared memory is drained into the files first. Runs without shared memory
    (the machine was restarted) are finished from what is in their files. Running it twice, or
    two at once, is harmless: a writer locks the address it serves, and a lock per base
    directory guards the rest.

    Args:
        base_dir: directory that holds the experiments.
        dry_run: only say what would be done.
        any_host: also finish runs of other hosts; the caller knows that they have ended.

    Yields:
        A line for each run that was, would be, or could not be recovered.
    """
    wanted = os.path.realpath(base_dir)
    for stale in stale_addresses():
        if not stale.runs:
            if not dry_run:
                _remove_empty(stale)
        elif wanted not in stale.base_dirs:
            continue
        elif dry_run:
            yield from (Outcome(f"would recover {run} from shared memory") for run in stale.runs)
        else:
            yield from _from_memory(stale)
    if dry_run:
        for run in stale_runs(wanted, served_runs(), any_host=any_host):
            what = "would recover" if run.dead else "would leave alone"
            yield Outcome(f"{what} {run.run_dir}: {run.why}")
        return
    lock = _take_lock(wanted)
    if lock is None:
        yield Outcome(f"another recovery of {base_dir} is at work")
        return
    try:
        for run in stale_runs(wanted, served_runs(), any_host=any_host):
            yield _from_files(run)
    finally:
        lock.unlink()
        lock.close()


class RecoverSoon:
    """In a writer: has stale runs of the same base directory recovered by another process.

    The look for them is a thread's; a process is started only if there are any. Its failure
    costs this writer nothing.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, base_dir: str) -> None:
        if base_dir not in self._seen:
            self._seen.add(base_dir)
            threading.Thread(
                target=_scan, args=(base_dir,), name="expman-stale", daemon=True
            ).start()


def _scan(base_dir: str) -> None:
    time.sleep(_SCAN_DELAY_S)  # the new run comes first
    wanted = os.path.realpath(base_dir)
    found = any(wanted in stale.base_dirs for stale in stale_addresses()) or any(
        run.dead for run in stale_runs(wanted, served_runs())
    )
    if not found:
        return
    subprocess.Popen(
        writer_command("recover", base_dir),
        env=writer_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


# -- from shared memory -------------------------------------------------------------------


def _from_memory(stale: StaleAddress) -> Iterator[Outcome]:
    try:
        revive_address(stale.address, stale.lanes[-1] + 1 if stale.lanes else 0)
        server = Server(stale.address)
    except (FileNotFoundError, AddressTakenError):
        return  # finished, or being served, by another writer
    except (OSError, ExpmanError) as exc:
        yield Outcome(f"cannot recover {', '.join(stale.runs) or stale.address}: {exc}", ok=False)
        return
    deadline = time.monotonic() + RECOVERY_S
    well_until = time.monotonic() + TROUBLE_S
    server.step()
    while not (server.idle and server.remove_address()):
        busy = server.step()
        now = time.monotonic()
        if not server.troubles:
            well_until = now + TROUBLE_S
        if now > min(well_until, deadline):
            why = "; ".join(server.troubles) or "it takes too long"
            yield Outcome(f"cannot recover {', '.join(stale.runs)}: {why}", ok=False)
            return
        if not busy:
            time.sleep(0.005)
    for run in stale.runs:
        yield Outcome(f"recovered {run}: {_summary(run)}")


def _remove_empty(stale: StaleAddress) -> None:
    """Removes an address whose engine died before it claimed a lane, if it is ours."""
    try:
        server = Server(stale.address)
    except FileNotFoundError:
        remove_leftovers(stale.address, set())
        return
    except (OSError, ExpmanError):
        return
    server.step()
    if server.idle:
        server.remove_address()


# -- from the files -----------------------------------------------------------------------


def _from_files(run: StaleRun) -> Outcome:
    if not run.dead:
        return Outcome(f"left alone {run.run_dir}: {run.why} (--any-host recovers it)")
    try:
        meta = RunFile(run.run_dir).read()
        ended_at = _last_change(run.run_dir)
        store = VectorStore(run.run_dir)
        store.finish()
        log = RunLog(run.run_dir)
        log.mend()
        reason = f"nobody ran it any more: {run.why}"
        lines = [(LogLevel.WARN, warning) for warning in store.take_warnings()]
        lines.append((LogLevel.ERROR, f"run CRASHED: {reason}; recovered from its files"))
        log.append([(level, time.time_ns(), text) for level, text in lines])
        log.sync()
        _mark_crashed(meta, reason, ended_at, store.rows_written)
        meta.vectors = dict(store.latest)
        RunFile(run.run_dir).write(meta)
        store.close()
    except StorageError as exc:
        return Outcome(f"cannot recover {run.run_dir}: {exc}", ok=False)
    return Outcome(f"recovered {run.run_dir} from its files: {_summary(run.run_dir)}")


def _mark_crashed(meta: RunMetadata, reason: str, ended_at: float, rows: int) -> None:
    meta.status, meta.reason = RunStatus.CRASHED, reason
    meta.finished_at = iso(int(ended_at * 1e9))
    meta.rows_written = rows
    meta.rows_logged = max(meta.rows_logged, rows + meta.rows_dropped)
    meta.rows_missing = meta.rows_logged - rows - meta.rows_dropped
    meta.duration_secs = seconds_between(meta.started_at, meta.finished_at)


def _last_change(run_dir: str) -> float:
    with os.scandir(run_dir) as entries:
        return max((entry.stat(follow_symlinks=False).st_mtime for entry in entries), default=0.0)


def _summary(run_dir: str) -> str:
    try:
        meta = RunFile(run_dir).read()
    except StorageError as exc:
        return str(exc)
    return f"{meta.status}, {meta.rows_written} rows"


def _take_lock(base_dir: str) -> segment.Segment | None:
    """A lock of this host and user; None if another process has it."""
    digest = hashlib.sha256(f"{os.getuid()}:{base_dir}".encode(errors="replace")).hexdigest()
    name = _LOCK_PREFIX + digest[:32]
    place = next(place for place in segment.places() if segment.place_id(place))
    while True:
        try:
            lock = segment.create(place, name, 8)
        except FileExistsError:
            try:
                lock = segment.attach(place, name)
            except FileNotFoundError:
                continue
        if not lock.try_lock():
            lock.close()
            return None
        if segment.links(lock):
            return lock
        lock.close()  # its holder has removed it meanwhile
