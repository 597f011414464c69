"""Finds what no process serves: lanes in shared memory, and runs whose status is RUNNING."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from expman.errors import CorruptLaneError, ExpmanError, LayoutVersionError, StorageError
from expman.metadata import RunMetadata
from expman.models import Host, RunStatus
from expman.storage.journal import known_state
from expman.storage.paths import RUN_JOURNAL, RUN_YAML, TEMP_PREFIX, open_regular
from expman.storage.times import since_epoch_ns
from expman.storage.yamlfile import RunFile
from expman.transport import identity, nameless, places, segment
from expman.transport.address import find_all_lanes, served_elsewhere
from expman.transport.address_control import AddressControl
from expman.transport.gate import RunGate

__all__ = [
    "SILENT_S",
    "StaleAddress",
    "StaleRun",
    "gates_of",
    "is_of_this_machine",
    "served_runs",
    "stale_addresses",
    "stale_runs",
]

YOUNG_S = 10.0
"""A run directory or an address this young may still be on its way to its first lane."""
FIRST_LANE_S = 600.0
"""The owner's lane is made so soon before or after the start that run.yaml names."""
SILENT_S = 180.0
"""A live run renews its run.yaml every 30 s, and a mount may show that a minute late."""
SILENT_WITHOUT_HEARTBEAT_S = 86_400.0
"""Earlier versions renewed run.yaml only with new rows."""
_WORD = b"RUNNING"


class StaleAddress(NamedTuple):
    """An address with lanes, whose writer and owner are gone.

    Attributes:
        address: the address.
        runs: directories of the runs that have lanes there.
        base_dirs: their base directories, resolved.
        lanes: numbers of the lanes, sorted.
    """

    address: segment.Address
    runs: list[str]
    base_dirs: set[str]
    lanes: list[int]


class StaleRun(NamedTuple):
    """A run whose status is RUNNING and that has no lane.

    Attributes:
        run_dir: its directory.
        dead: no process runs it. Otherwise it is alive, or this host cannot decide that.
        why: the reason for either.
        young: it was alive so recently that it must not be taken for dead yet.
    """

    run_dir: str
    dead: bool
    why: str
    young: bool = False


def stale_addresses() -> Iterator[StaleAddress]:
    """All such addresses of this user on this host."""
    looks = [_look(address, numbers) for address, numbers in find_all_lanes()]
    found = [stale for stale in looks if stale is not None]
    served = served_elsewhere(stale.address for stale in found)
    yield from (stale for stale in found if stale.address not in served)


def _look(address: segment.Address, numbers: list[int]) -> StaleAddress | None:
    if _is_locked(address, None):
        return None
    runs, base_dirs = set(), set()
    for number in numbers:
        try:
            gate = RunGate.attach(address, number)
        except LayoutVersionError:
            return None  # another version's, all of it
        except (OSError, ValueError, CorruptLaneError):  # no hello, or one that cannot be read
            if _is_locked(address, number):
                return None
            continue
        if gate.hello.role == "owner" and gate.owner_lives:
            return None  # it has a supervisor of its own
        runs.add(gate.hello.run_dir)
        base_dirs.add(os.path.realpath(gate.hello.base_dir))
    if not runs and not _is_left_over(address):
        return None
    return StaleAddress(address, sorted(runs), base_dirs, numbers)


def _is_locked(address: segment.Address, lane: int | None) -> bool:
    name = address.segment(lane)
    if segment.is_locked_here(address.place, name):
        return True  # this writer's own: attaching and closing it would drop the lock
    try:
        found = segment.attach(address.place, name)
    except OSError:
        return False
    try:
        return found.is_locked()
    finally:
        found.close()


def _is_left_over(address: segment.Address) -> bool:
    """True if an address without lanes was left behind; a young one may yet get its first lane."""
    try:
        found = segment.attach(address.place, address.segment())
    except OSError:
        return True
    was_ending = False
    try:
        with contextlib.suppress(CorruptLaneError, LayoutVersionError):
            control = AddressControl.open(found)
            was_ending = control.stopping and control.served
        return was_ending or time.time() - os.fstat(found.fd).st_ctime > YOUNG_S
    finally:
        found.close()


def stale_runs(
    base_dir: str, with_lanes: set[str], *, any_host: bool = False, dry_run: bool = False
) -> Iterator[StaleRun]:
    """The runs of a base directory that are RUNNING without a lane of this user on this host.

    Two signs together show that a run is dead: what a live run has is absent (a lane, its boot),
    and its run.yaml has not been renewed for minutes.

    Args:
        base_dir: directory of the experiments.
        with_lanes: resolved directories of runs that have lanes; they are left out. So are those
            whose lanes have lost their names: processes that have them may go on.
        any_host: the caller knows that no other host or user runs any of them. A run that was
            alive just now is left alone all the same.
        dry_run: write nothing; then silence is measured by the clock of this host.
    """
    nameless_runs: set[str] | None = None
    strange_lanes: list[float] | None = None
    now = time.time() if dry_run else _file_system_now(base_dir)
    here = identity.this_host(places.SHM)
    memories = {places.place_id(place) for place in places.all_places()}
    for run_dir in _running(base_dir):
        if os.path.realpath(run_dir) in with_lanes:
            continue
        try:
            if not _is_open(run_dir):
                continue
            meta = known_state(run_dir)
            if meta is None:
                continue
            # A clock that was set back makes it negative: then nothing renewed it since, either.
            silent_s = abs(now - os.stat(os.path.join(run_dir, RUN_YAML)).st_mtime)
        except (StorageError, OSError):
            continue
        if silent_s < SILENT_S:
            yield StaleRun(run_dir, False, f"it was alive {silent_s:.0f} s ago", young=True)
            continue
        nameless_runs = _nameless_runs() if nameless_runs is None else nameless_runs
        if os.path.realpath(run_dir) in nameless_runs:
            continue
        if any_host:
            yield StaleRun(run_dir, True, "no host runs it")
            continue
        found = _judge(run_dir, meta, silent_s, here, memories)
        if found.dead and meta.host.boot_id == here.boot_id:
            strange_lanes = _strange_lanes() if strange_lanes is None else strange_lanes
            if _may_be_of(meta, strange_lanes):
                why = "another version of expman has lanes in shared memory; recover it with that"
                found = StaleRun(run_dir, False, why)
        yield found


def _strange_lanes() -> list[float]:
    """Creation times of lanes of other layout versions, in seconds since the epoch."""
    times = []
    for address, numbers in find_all_lanes():
        for number in numbers:
            try:
                RunGate.attach(address, number)
            except LayoutVersionError:
                with contextlib.suppress(OSError):
                    times.append(segment.made_at(address.place, address.segment(number)))
            except (OSError, ValueError, ExpmanError):
                continue
    return times


def _may_be_of(meta: RunMetadata, lanes: list[float]) -> bool:
    """True if one of these lanes can be that of a run's owner, by its time: it cannot be read."""
    started_at = since_epoch_ns(meta.started_at) / 1e9
    return any(abs(made_at - started_at) < FIRST_LANE_S for made_at in lanes)


def _judge(
    run_dir: str, meta: RunMetadata, silent_s: float, here: Host, memories: set[str]
) -> StaleRun:
    host = meta.host
    if not host.hostname:
        return StaleRun(run_dir, False, "it does not say on which host it runs")
    if host.hostname != here.hostname:
        return StaleRun(run_dir, False, f"it was started on host {host.hostname}")
    if host.machine_id != here.machine_id and meta.heartbeat_at is not None:
        why = f"it was started on another machine that is called {host.hostname}, too"
        return StaleRun(run_dir, False, why)
    if host.boot_id != here.boot_id:
        if meta.heartbeat_at is None and silent_s < SILENT_WITHOUT_HEARTBEAT_S:
            return StaleRun(run_dir, False, "an earlier version recorded it, without a heartbeat")
        return StaleRun(run_dir, True, "the machine was restarted")
    if host.memory_id not in memories:
        return StaleRun(run_dir, False, "its shared memory is in another container")
    owner = os.stat(run_dir).st_uid if host.uid is None else host.uid
    if owner != os.geteuid() and (os.geteuid() != 0 or places.has_names_of(owner)):
        return StaleRun(run_dir, False, f"it is the run of another user (uid {owner})")
    return StaleRun(run_dir, True, "its shared memory is gone")


def _is_open(run_dir: str) -> bool:
    """True if the status is RUNNING, or run.yaml is damaged and there is a journal of the run."""
    try:
        return RunFile(run_dir).read().status is RunStatus.RUNNING
    except StorageError:
        return os.path.lexists(os.path.join(run_dir, RUN_JOURNAL))


def _file_system_now(directory: str) -> float:
    """The time by the clock of the file system, which is a server's where it is a network's."""
    now = time.time()
    probe = os.path.join(directory, f"{TEMP_PREFIX}now-{os.urandom(4).hex()}")
    with contextlib.suppress(OSError):  # read-only: nothing can be recovered there anyway
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            now = os.fstat(fd).st_mtime
        finally:
            os.close(fd)
            os.unlink(probe)
    return now


def _running(base_dir: str) -> Iterator[str]:
    """Run directories whose run may not have ended; the others need not be parsed.

    Their run.yaml has the word RUNNING, or they have a journal.
    """
    for experiment in _directories(base_dir):
        for run_dir in _directories(experiment):
            journal = os.path.join(run_dir, RUN_JOURNAL)
            if os.path.lexists(journal) or _WORD in _content(os.path.join(run_dir, RUN_YAML)):
                yield run_dir


def _content(path: str) -> bytes:
    try:
        fd = open_regular(path)
    except OSError:
        return b""
    try:
        return os.read(fd, os.fstat(fd).st_size)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _directories(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def served_runs() -> set[str]:
    """Resolved directories of all runs that have a lane of this user on this host."""
    return {os.path.realpath(gate.hello.run_dir) for gate in _named_gates()}


def gates_of(run_dir: str) -> Iterator[RunGate]:
    """The lanes of a run of this user on this host, those without a name among them.

    Args:
        run_dir: its directory, resolved.
    """
    for gate in (*_named_gates(), *_nameless_gates()):
        if os.path.realpath(gate.hello.run_dir) == run_dir:
            yield gate


def _named_gates() -> Iterator[RunGate]:
    for address, numbers in find_all_lanes():
        yield from _gates(address, numbers)


def _nameless_gates() -> Iterator[RunGate]:
    for name, paths in nameless.find(places.PREFIX).items():
        token, _, number = name.removeprefix(places.PREFIX).partition("-")
        if number.isdecimal():
            yield from _gates(segment.Address(places.SHM, token), [int(number)], paths[0])


def _gates(
    address: segment.Address, lanes: list[int], path: str | None = None
) -> Iterator[RunGate]:
    for number in lanes:
        with contextlib.suppress(OSError, ValueError, ExpmanError):
            yield RunGate.attach(address, number, path)


def is_of_this_machine(host: Host, here: Host) -> bool:
    """True if a host is the machine or container of this process, before a restart or after."""
    return host.hostname == here.hostname and host.machine_id == here.machine_id


def _nameless_runs() -> set[str]:
    """The same for lanes whose names were removed: some process still has them."""
    return {os.path.realpath(gate.hello.run_dir) for gate in _nameless_gates()}
