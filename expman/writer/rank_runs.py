"""Where the other ranks of a job are, if each has a run of its own: their files show it."""

from __future__ import annotations

import os

import msgspec

from expman.errors import StorageError
from expman.metadata import RunMetadata
from expman.models import RunStatus
from expman.storage.journal import known_state
from expman.storage.rank_lags import lags_of
from expman.transport.hello import Hello
from expman.writer.behind import steps_of

__all__ = ["compare_ranks"]

MOST_RANKS = 256
"""Files of more ranks are not read: it takes a moment for each."""


class _Other(msgspec.Struct, frozen=True):
    steps: dict[str, int]
    has_ended: bool


def compare_ranks(hello: Hello, step: int | None) -> str | None:
    """Compares a rank that has logged nothing for long with the others of its job.

    Only steps of the same metrics are compared: another rank may evaluate, with steps of its own.
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
    rank = hello.rank.rank
    own = _steps_of(hello.run_dir)
    progress = {rank: own, **{one: other.steps for one, other in others.items()}}
    lags = {
        one: lag
        for one, lag in lags_of(progress).items()
        if lag.steps and not (one in others and others[one].has_ended)
    }
    if not lags:
        where = steps_of([_furthest(one.steps, own) for one in others.values()])
        return f"the other ranks are {where}"
    behind = max(lags, key=lambda one: (lags[one].steps, one == rank))
    key = lags[behind].key
    text = f"rank {behind} is behind: last row at step {progress[behind][key]:,}"
    if behind == rank:
        where = steps_of([one.steps.get(key) for one in others.values()])
        return f"{text}, the others {where}"
    return f"{text}, rank {rank} at {own.get(key, step):,}"


def _furthest(steps: dict[str, int], own: dict[str, int]) -> int:
    """The last step of what both have, or of anything."""
    return max([step for name, step in steps.items() if name in own] or steps.values())


def _steps_of(run_dir: str) -> dict[str, int]:
    """The last step of each metric, as the run's files have it."""
    try:
        meta = known_state(run_dir)
    except StorageError:
        meta = None
    return {} if meta is None else _last_steps(meta)


def _last_steps(meta: RunMetadata) -> dict[str, int]:
    steps = {name: one.last_step for name, one in meta.best.items()}
    return {name: step for name, step in steps.items() if step is not None}


def _others(hello: Hello) -> dict[int, _Other]:
    own = hello.rank
    if own is None or hello.group is None or not 1 < (own.world_size or 0) <= MOST_RANKS:
        return {}
    home, name = os.path.split(hello.run_dir)
    stem = name.removesuffix(f"-rank{own.rank}") if own.rank else name
    found = {}
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
        known = _last_steps(meta)
        if known and meta.rank.rank == rank:
            found[rank] = _Other(known, meta.status is not RunStatus.RUNNING)
    return found
