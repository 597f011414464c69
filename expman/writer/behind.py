"""Words for producers that have logged nothing for long, and for those that go on meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from expman.writer.lanes import LaneState

__all__ = ["is_ahead", "is_rank", "name_of", "place_of", "slowest_of", "steps_of"]


def is_rank(lane: LaneState) -> bool:
    """True if the lane is a rank's own, and not that of one of its workers."""
    rank = lane.consumer.hello.rank
    return rank is not None and (lane.is_owner or lane.producer == f"rank-{rank.rank}")


def name_of(lane: LaneState) -> str:
    """What people call a producer: `rank 2`, or its name in the files."""
    rank = lane.consumer.hello.rank
    is_one_of_many = rank is not None and rank.world_size != 1 and is_rank(lane)
    return f"rank {rank.rank}" if rank is not None and is_one_of_many else lane.producer


def is_ahead(lane: LaneState, others: Iterable[LaneState]) -> bool:
    """True of a rank that no other one has got further than: it waits for them, or is done."""
    if not is_rank(lane) or lane.last_step is None:
        return False
    steps = [one.last_step for one in others if is_rank(one) and one is not lane]
    return all(step is None or step <= lane.last_step for step in steps)


def place_of(step: int | None, silent_s: float) -> str:
    """Where a producer stopped."""
    which = "" if step is None else f" at step {step:,}"
    return f"last row{which}, {silent_s:.0f} s ago"


def steps_of(steps: Sequence[int | None]) -> str:
    """Where others are: `at 400`, `at 390 to 400`; "" if they have no steps."""
    known = [step for step in steps if step is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    return f"at {low:,}" if low == high else f"at {low:,} to {high:,}"


def slowest_of(lanes: Sequence[LaneState]) -> str | None:
    """A sentence about the rank that is behind the others of a run; None if none is."""
    ranks = sorted(
        (lane.last_step, number, lane)
        for number, lane in enumerate(lanes)
        if is_rank(lane) and lane.last_step is not None
    )
    if len(ranks) < 2 or ranks[0][0] == ranks[-1][0]:
        return None
    step, _, slowest = ranks[0]
    others = steps_of([one for one, _, _ in ranks[1:]])
    return f"{name_of(slowest)} is behind: last row at step {step:,}, the others {others}"
