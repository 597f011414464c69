"""Where the other ranks of a job are, if each has a run of its own: their files show it."""

from __future__ import annotations

import os

import msgspec

from expman.errors import StorageError
from expman.models import RunStatus
from expman.storage.journal import known_state
from expman.transport.hello import Hello
from expman.writer.behind import steps_of

__all__ = ["compare_ranks"]

MOST_RANKS = 256
"""Files of more ranks are not read: it takes a moment for each."""


class _Other(msgspec.Struct, frozen=True):
    rank: int
    step: int
    has_ended: bool


def compare_ranks(hello: Hello, step: int | None) -> str | None:
    """Compares a rank that has logged nothing for long with the others of its job.

    Reads files: not for the thread that serves lanes.

    Args:
        hello: the rank's.
        step: of its last row.

    Returns:
        A sentence; None if nobody else is known, or they have no steps.
    """
    others = _others(hello)
    if hello.rank is None or step is None or not others:
        return None
    rank, live = hello.rank.rank, [one for one in others if not one.has_ended]
    where = steps_of([one.step for one in others])
    slowest = min(live, key=lambda one: one.step, default=None)
    if slowest is not None and slowest.step < step:
        text = f"rank {slowest.rank} is behind: last row at step {slowest.step:,}"
        return f"{text}, rank {rank} at {step:,}"
    if max(one.step for one in others) > step:
        return f"rank {rank} is behind: last row at step {step:,}, the others {where}"
    return f"the other ranks are {where}"


def _others(hello: Hello) -> list[_Other]:
    own = hello.rank
    if own is None or hello.group is None or not 1 < (own.world_size or 0) <= MOST_RANKS:
        return []
    home, name = os.path.split(hello.run_dir)
    stem = name.removesuffix(f"-rank{own.rank}") if own.rank else name
    found = []
    for rank in range(own.world_size or 0):
        if rank == own.rank:
            continue
        path = os.path.join(home, f"{stem}-rank{rank}" if rank else stem)
        try:
            meta = known_state(path) if os.path.isdir(path) else None
        except StorageError:
            continue
        if meta is None or meta.group != hello.group or meta.rank is None:
            continue
        steps = [best.last_step for best in meta.best.values() if best.last_step is not None]
        if steps and meta.rank.rank == rank:
            found.append(_Other(rank, max(steps), meta.status is not RunStatus.RUNNING))
    return found
