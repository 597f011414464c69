"""Finishes runs whose trainer and writer are both gone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from expman.errors import CorruptLaneError, ExpmanError, LayoutVersionError, StorageError
from expman.transport import segment
from expman.transport.consumer import LaneConsumer
from expman.writer.loop import Server

__all__ = ["recover"]

RECOVERY_S = 600.0


def recover(base_dir: str, *, dry_run: bool = False) -> Iterator[str]:
    """Drains what is still in shared memory into the runs below a base directory.

    Running it twice, or two at once, is harmless: a writer locks the address it serves.

    Yields:
        A line for each address that was, or would be, recovered.
    """
    wanted = os.path.realpath(base_dir)
    for address, lanes in _stale_addresses():
        runs = sorted({_run_dir(lane) for lane in lanes if _below(lane, wanted)})
        alive = any(lane.producer_alive() for lane in lanes)
        for lane in lanes:
            lane.close()
        if not runs or alive:
            continue
        if dry_run:
            yield from (f"would recover {run}" for run in runs)
            continue
        yield from _recover_one(address, runs)


def _recover_one(address: segment.Address, runs: list[str]) -> Iterator[str]:
    try:
        server = Server(address)
    except (FileNotFoundError, ExpmanError):
        return  # finished, or being served, by another writer
    deadline = time.monotonic() + RECOVERY_S
    while not server.finished and time.monotonic() < deadline:
        try:
            server.step()
        except StorageError as exc:
            yield f"cannot recover {', '.join(runs)}: {exc}"
            return
        time.sleep(0.001)
    server.remove_address()
    yield from (f"recovered {run}" for run in runs)


def _stale_addresses() -> Iterator[tuple[segment.Address, list[LaneConsumer]]]:
    for place in segment.places():
        names = segment.list_names(place)
        tokens = [name.removeprefix(segment.PREFIX) for name in names if name.count("-") == 1]
        for token in tokens:
            address = segment.Address(place, token)
            lanes = []
            for name in names:
                parts = name.split("-")
                if parts[1] == token and len(parts) == 3:
                    try:
                        lanes.append(LaneConsumer(address, int(parts[2])))
                    except (FileNotFoundError, ValueError, CorruptLaneError, LayoutVersionError):
                        continue
            yield address, lanes


def _run_dir(lane: LaneConsumer) -> str:
    return os.path.join(lane.hello.base_dir, lane.hello.experiment, lane.hello.run_name)


def _below(lane: LaneConsumer, base_dir: str) -> bool:
    return os.path.realpath(lane.hello.base_dir) == base_dir
