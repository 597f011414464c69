"""Finishes or discards runs that are still in shared memory."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from expman.errors import ExpmanError
from expman.transport import places, segment
from expman.transport.address import find_lanes, revive_address
from expman.transport.gate import RunGate
from expman.writer.held import AddressTakenError
from expman.writer.leftovers import remove_leftovers
from expman.writer.outcome import Outcome, guarded, summary
from expman.writer.recover_files import finish_from_files
from expman.writer.server import Server
from expman.writer.stale import StaleAddress, StaleRun

__all__ = ["discard_runs", "finish_from_memory", "remove_empty", "runs_below"]

RECOVERY_S = 600.0
WRITE_ERROR_S = 5.0
"""How long a recovery goes on once all runs that are left cannot be written."""


def runs_below(base_dir: str, runs: list[str]) -> list[str]:
    """The runs of one base directory; a shared writer's address has those of several."""
    return [
        run for run in runs if os.path.realpath(os.path.dirname(os.path.dirname(run))) == base_dir
    ]


def finish_from_memory(stale: StaleAddress) -> Iterator[Outcome]:
    """Serves the lanes of an address until their runs have ended."""
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
    well_until = time.monotonic() + WRITE_ERROR_S
    server.step()
    while not (server.idle and server.remove_address()):
        busy = server.step()
        now = time.monotonic()
        if set(server.unfinished) - set(server.write_errors):  # one that fails holds up no other
            well_until = now + WRITE_ERROR_S
        if now > min(well_until, deadline):
            break
        if not busy:
            time.sleep(0.005)
    for run in stale.runs:
        if run in server.unfinished:
            why = server.write_errors.get(run, "it takes too long")
            yield Outcome(f"cannot recover {run}: {why}", ok=False)
        else:
            yield Outcome(f"recovered {run}: {summary(run)}")


def remove_empty(stale: StaleAddress) -> None:
    """Removes an address whose engine died before it claimed a lane, if it belongs to this user."""
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


def discard_runs(stale: StaleAddress, base_dir: str) -> Iterator[Outcome]:
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
    for run in runs_below(base_dir, stale.runs):
        yield Outcome(f"discarded {run} from shared memory")
        if os.path.isdir(run):
            ended = StaleRun(run, True, "its shared memory was discarded")
            yield from guarded(finish_from_files, ended, run)
