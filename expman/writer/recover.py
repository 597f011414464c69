"""Finishes runs whose trainer and writer are both gone."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from expman.errors import ExpmanError, StorageError
from expman.interpreter import start_writer
from expman.models import LogLevel, RunMetadata, RunStatus
from expman.storage.journal import Journal, known_state, set_aside_damage
from expman.storage.runlog import RunLog
from expman.storage.times import iso, seconds_between
from expman.storage.vectors import VectorStore
from expman.storage.yamlfile import RunFile
from expman.transport import places, segment
from expman.transport.address import find_lanes, revive_address
from expman.transport.gate import RunGate
from expman.writer.copier import store_artifacts
from expman.writer.held import AddressTakenError
from expman.writer.leftovers import remove_leftovers
from expman.writer.server import Server
from expman.writer.stale import (
    SILENT_S,
    StaleAddress,
    StaleRun,
    served_runs,
    stale_addresses,
    stale_runs,
)

__all__ = ["Outcome", "RecoverSoon", "recover"]

RECOVERY_S = 600.0
TROUBLE_S = 5.0
_Subject = TypeVar("_Subject")
_LOCK_PREFIX = "expman-lock"
_LOCK_S = 0.5
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


def recover(
    base_dir: str, *, dry_run: bool = False, any_host: bool = False, discard: bool = False
) -> Iterator[Outcome]:
    """Finishes the runs below a base directory that nobody runs any more.

    What is still in shared memory is drained into the files first. Runs without shared memory
    (the machine was restarted) are finished from what is in their files. Running it twice, or
    two at once, is harmless: a writer locks the address it serves, and a lock per base
    directory guards the rest.

    Args:
        base_dir: directory that holds the experiments.
        dry_run: only say what would be done.
        any_host: also finish runs of other hosts and users; the caller knows that they have ended.
        discard: remove the shared memory of these runs, with all rows that are in no file.

    Yields:
        A line for each run that was, would be, or could not be recovered. What goes wrong with
        one run costs no other.
    """
    wanted = os.path.realpath(base_dir)
    for stale in stale_addresses():
        if not stale.runs:
            if not dry_run:
                _remove_empty(stale)
        elif wanted not in stale.base_dirs:
            continue
        elif dry_run:
            what = "discard" if discard else "recover"
            for run_dir in _below(wanted, stale.runs):
                yield Outcome(f"would {what} {run_dir} from shared memory")
        elif discard:
            yield from _discard(stale, wanted)
        elif not os.path.isdir(wanted):
            yield from (_homeless(run, wanted) for run in _below(wanted, stale.runs))
        else:
            yield from _guarded(_from_memory, stale, ", ".join(stale.runs))
    if dry_run:
        for run in stale_runs(wanted, served_runs(), any_host=any_host, dry_run=True):
            what = "would recover" if run.dead else "would leave alone"
            yield Outcome(f"{what} {run.run_dir}: {run.why}")
        return
    lock = _take_lock(wanted)
    if lock is None:
        yield Outcome(f"another recovery of {base_dir} is at work")
        return
    try:
        for run in stale_runs(wanted, served_runs(), any_host=any_host):
            yield from _guarded(_from_files, run, run.run_dir)
    finally:
        lock.unlink()
        lock.close()


def _guarded(
    act: Callable[[_Subject], Iterator[Outcome]], subject: _Subject, name: str
) -> Iterator[Outcome]:
    try:
        yield from act(subject)
    except Exception as exc:  # noqa: BLE001 - each run is on its own; the line names the error
        yield Outcome(f"cannot recover {name}: {type(exc).__name__}: {exc}", ok=False)


def _below(base_dir: str, runs: list[str]) -> list[str]:
    """The runs of one base directory; a shared writer's address has those of several."""
    return [run for run in runs if os.path.realpath(_base_of(run)) == base_dir]


def _base_of(run_dir: str) -> str:
    return os.path.dirname(os.path.dirname(run_dir))


def _homeless(run_dir: str, base_dir: str) -> Outcome:
    return Outcome(
        f"cannot recover {run_dir}: there is no directory {base_dir}; mount it, or make it anew "
        f"(mkdir -p), and recover again; or give its rows up: expman-writer recover --discard",
        ok=False,
    )


class RecoverSoon:
    """In a writer: has stale runs of the same base directory recovered by another process.

    A thread looks for them, twice: what has shown life too lately at the first look may be dead
    at the second. A process is started only if there are any. Its failure costs this writer
    nothing.
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
    wanted = os.path.realpath(base_dir)
    for delay_s in (_SCAN_DELAY_S, SILENT_S):  # the new run comes first
        time.sleep(delay_s)
        runs = list(stale_runs(wanted, served_runs()))
        if any(run.dead for run in runs) or any(
            wanted in stale.base_dirs for stale in stale_addresses()
        ):
            start_writer("recover", base_dir)
        if not any(run.young for run in runs):
            return


# -- from shared memory -------------------------------------------------------------------


def _from_memory(stale: StaleAddress) -> Iterator[Outcome]:
    try:
        revive_address(stale.address).close()
        server = Server(stale.address)
    except (FileNotFoundError, AddressTakenError):
        return  # finished, or being served, by another writer
    except (OSError, ExpmanError) as exc:
        yield Outcome(f"cannot recover {', '.join(stale.runs) or stale.address}: {exc}", ok=False)
        return
    for run_dir in stale.runs:  # not the base directory: it may be a mount that is away
        with contextlib.suppress(OSError):
            os.mkdir(os.path.dirname(run_dir))
    deadline = time.monotonic() + RECOVERY_S
    well_until = time.monotonic() + TROUBLE_S
    server.step()
    while not (server.idle and server.remove_address()):
        busy = server.step()
        now = time.monotonic()
        if set(server.unfinished) - set(server.write_errors):  # one that fails holds up no other
            well_until = now + TROUBLE_S
        if now > min(well_until, deadline):
            break
        if not busy:
            time.sleep(0.005)
    for run in stale.runs:
        if run in server.unfinished:
            why = server.write_errors.get(run, "it takes too long")
            yield Outcome(f"cannot recover {run}: {why}", ok=False)
        else:
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


def _discard(stale: StaleAddress, base_dir: str) -> Iterator[Outcome]:
    """Removes the lanes of the runs of one base directory, then finishes these from their files."""
    address = stale.address
    for number in stale.lanes:
        control = address.segment(number)
        try:
            hello = RunGate.attach(address, number).hello
        except (OSError, ValueError):
            continue
        if os.path.realpath(hello.base_dir) == base_dir:
            for name in [*places.list_names(address.place, f"{control}-"), control]:
                segment.remove(address.place, name)
    if not find_lanes(address.place).get(address):
        segment.remove(address.place, address.segment())
    for run in _below(base_dir, stale.runs):
        yield Outcome(f"discarded {run} from shared memory")
        if os.path.isdir(run):
            ended = StaleRun(run, True, "its shared memory was discarded")
            yield from _guarded(_from_files, ended, run)


# -- from the files -----------------------------------------------------------------------


def _from_files(run: StaleRun) -> Iterator[Outcome]:
    if not run.dead:
        hint = "" if run.young else " (--any-host recovers it)"
        yield Outcome(f"left alone {run.run_dir}: {run.why}{hint}")
        return
    try:
        damage = set_aside_damage(run.run_dir)
        meta = known_state(run.run_dir) or _unknown(run.run_dir)
        ended_at = _last_change(run.run_dir)
        with contextlib.closing(VectorStore(run.run_dir)) as store:
            _finish(run, meta, store, damage, ended_at)
    except StorageError as exc:
        yield Outcome(f"cannot recover {run.run_dir}: {exc}", ok=False)
    else:
        yield Outcome(f"recovered {run.run_dir} from its files: {_summary(run.run_dir)}")


def _finish(
    run: StaleRun, meta: RunMetadata, store: VectorStore, damage: str | None, ended_at: float
) -> None:
    store.finish()
    missing = store_artifacts(run.run_dir)
    log = RunLog(run.run_dir)
    log.mend()
    reason = f"nobody ran it any more: {run.why}"
    lines = [(LogLevel.WARN, warning) for warning in store.take_warnings()]
    lines += [(LogLevel.ERROR, line) for line in missing]
    lines += [(LogLevel.ERROR, damage)] if damage is not None else []
    if meta.status is RunStatus.RUNNING:
        lines.append((LogLevel.ERROR, f"run CRASHED: {reason}; recovered from its files"))
    log.append([(level, time.time_ns(), text) for level, text in lines])
    log.sync()
    said = meta.rows_missing
    if meta.status is RunStatus.RUNNING:
        said = 0
        _mark_crashed(meta, reason, ended_at)
    _count(meta, store, said)
    meta.artifacts_missing += len(missing)
    store.summarize(meta)
    RunFile(run.run_dir).write(meta)
    Journal(run.run_dir).remove()


def _unknown(run_dir: str) -> RunMetadata:
    """A run of which only the rows are known, and where it is."""
    experiment_dir, name = os.path.split(run_dir)
    return RunMetadata(name=name, experiment=os.path.basename(experiment_dir))


def _mark_crashed(meta: RunMetadata, reason: str, ended_at: float) -> None:
    meta.status, meta.reason = RunStatus.CRASHED, reason
    meta.finished_at = iso(int(ended_at * 1e9))
    meta.duration_secs = seconds_between(meta.started_at, meta.finished_at)


def _count(meta: RunMetadata, store: VectorStore, said: int) -> None:
    """Counts what is known without shared memory: the last counts, and the rows' own numbers.

    Args:
        meta: changed.
        store: the rows.
        said: so many missing rows are in the reason already.
    """
    meta.rows_written = store.rows_written
    numbered, there = sum(store.reach.values()), meta.rows_written + meta.rows_dropped
    meta.rows_logged = max(meta.rows_logged, numbered, there)
    meta.rows_missing = meta.rows_logged - there
    if meta.rows_missing > said:
        text = f"{meta.rows_missing:,} rows are missing"
        meta.reason = f"{meta.reason}; {text}" if meta.reason else text


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
    """A lock of this host and user; None if another process has it.

    Each takes a lock under a name that nobody can guess, and looks for others of this user
    afterwards: of two at once the second one sees the first.
    """
    digest = hashlib.sha256(f"{os.getuid()}:{base_dir}".encode(errors="replace")).hexdigest()
    start = f"{_LOCK_PREFIX}{digest[:32]}-"
    place = next(place for place in places.all_places() if places.place_id(place))
    deadline = time.monotonic() + _LOCK_S
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
