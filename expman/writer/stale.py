"""Finds what nobody serves any more: lanes in shared memory, and runs that say RUNNING."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from typing import NamedTuple

from expman.errors import StorageError
from expman.models import Host, RunMetadata
from expman.storage.paths import RUN_YAML, open_regular
from expman.storage.yamlfile import RunFile
from expman.transport import identity, layout, segment
from expman.transport.address import find_lanes
from expman.transport.gate import RunGate

__all__ = ["StaleAddress", "StaleRun", "served_runs", "stale_addresses", "stale_runs"]

YOUNG_S = 10.0
"""A run directory or an address this young may still be on its way to its first lane."""
HEAD_BYTES = 2048
_RUNNING = re.compile(rb"status\"?: *\"?RUNNING")


class StaleAddress(NamedTuple):
    """An address with lanes, but neither a writer nor an owner that lives.

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
    """A run that says RUNNING and has no lane.

    Attributes:
        run_dir: its directory.
        dead: nobody runs it; otherwise that cannot be told from here.
        why: the reason for either.
    """

    run_dir: str
    dead: bool
    why: str


def stale_addresses() -> Iterator[StaleAddress]:
    """All such addresses of this user on this host."""
    for place in segment.places():
        for address, numbers in find_lanes(place).items():
            found = _look(address, numbers)
            if found is not None:
                yield found


def _look(address: segment.Address, numbers: list[int]) -> StaleAddress | None:
    if _is_locked(address, None):
        return None
    runs, base_dirs = set(), set()
    for number in numbers:
        try:
            gate = RunGate.attach(address, number)
        except (OSError, ValueError):  # no hello, or one that cannot be read
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
    """Whether an address without lanes is nobody's, and not one whose first lane is to come."""
    try:
        found = segment.attach(address.place, address.segment())
    except OSError:
        return True
    try:
        words = memoryview(found.map()).cast("Q")
        was_ending = bool(words[layout.STOPPING] and words[layout.NEXT_LANE])
        return was_ending or time.time() - os.fstat(found.fd).st_ctime > YOUNG_S
    finally:
        found.close()


def stale_runs(
    base_dir: str, with_lanes: set[str], *, any_host: bool = False
) -> Iterator[StaleRun]:
    """The runs of a base directory that say RUNNING without a lane on this host.

    Args:
        base_dir: directory of the experiments.
        with_lanes: resolved directories of runs that have lanes; they are left out.
        any_host: the caller knows that no other host runs any of them.
    """
    here = identity.this_host(segment.SHM)
    memories = {segment.place_id(place) for place in segment.places()}
    for run_dir in _running(base_dir):
        if os.path.realpath(run_dir) in with_lanes:
            continue
        try:
            meta = RunFile(run_dir).read()
            age_s = time.time() - os.stat(os.path.join(run_dir, RUN_YAML)).st_mtime
        except (StorageError, OSError):
            continue
        if 0 <= age_s < YOUNG_S and meta.host.boot_id == here.boot_id:
            continue
        yield _judge(run_dir, meta, here, memories, any_host)


def _judge(
    run_dir: str, meta: RunMetadata, here: Host, memories: set[str], any_host: bool
) -> StaleRun:
    host = meta.host
    if any_host:
        return StaleRun(run_dir, True, "no host runs it")
    if not host.hostname:
        return StaleRun(run_dir, False, "it does not say on which host it runs")
    if host.hostname != here.hostname:
        return StaleRun(run_dir, False, f"it was started on host {host.hostname}")
    if host.boot_id != here.boot_id:
        return StaleRun(run_dir, True, "the machine was restarted")
    if host.memory_id not in memories:
        return StaleRun(run_dir, False, "its shared memory is in another container")
    return StaleRun(run_dir, True, "its shared memory is gone")


def _running(base_dir: str) -> Iterator[str]:
    for experiment in _directories(base_dir):
        for run_dir in _directories(experiment):
            try:
                fd = open_regular(os.path.join(run_dir, RUN_YAML))
            except OSError:
                continue
            try:
                head = os.read(fd, HEAD_BYTES)
            except OSError:
                continue
            finally:
                os.close(fd)
            if _RUNNING.search(head):
                yield run_dir


def _directories(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def served_runs() -> set[str]:
    """Resolved directories of all runs that have a lane of this user on this host."""
    runs = set()
    for place in segment.places():
        for address, numbers in find_lanes(place).items():
            for number in numbers:
                try:
                    gate = RunGate.attach(address, number)
                except (OSError, ValueError):
                    continue
                runs.add(os.path.realpath(gate.hello.run_dir))
    return runs
