"""Who is behind, and words for it.

A rank is behind if others have logged further steps of the same metrics since it fell silent. What
they log besides does not count: while rank 0 evaluates, with steps of its own, the others wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from expman.storage.rank_lags import Lag, lags_of
from expman.writer.lanes import LaneState
from expman.writer.progress import Names, Progress, SetProgress

__all__ = [
    "compared_steps",
    "is_left_behind",
    "is_rank",
    "lags",
    "name_of",
    "place_of",
    "slowest_of",
    "steps_of",
]

FEWEST = 2
"""Of those with whom a rank has no metric in common, so many must have passed it, and half."""
TIMES_USUAL = 2
"""Ranks with batches of their own are always apart: behind is one that is farther than this."""


def is_rank(lane: LaneState) -> bool:
    """True if the lane is a rank's own, and not that of one of its workers."""
    rank = lane.consumer.hello.rank
    return rank is not None and (lane.is_owner or lane.producer == f"rank-{rank.rank}")


def name_of(lane: LaneState) -> str:
    """What people call a producer: `rank 2`, or its name in the files."""
    rank = lane.consumer.hello.rank
    is_one_of_many = rank is not None and rank.world_size != 1 and is_rank(lane)
    return f"rank {rank.rank}" if rank is not None and is_one_of_many else lane.producer


def is_left_behind(
    lane: LaneState, going: Sequence[LaneState], ranks: Sequence[LaneState], limit_s: float
) -> bool:
    """True if others have passed a silent rank, and not only gone on with something of their own.

    Args:
        lane: the rank.
        going: other ranks that go on.
        ranks: all ranks.
        limit_s: how long it may be silent: so long they must have gone on without it.
    """
    others = [one for one in ranks if one is not lane]
    if any(next(_pairs(lane.progress, one.progress), None) for one in others):
        pairs = [pair for one in going for pair in _pairs(lane.progress, one.progress)]
        since_ns, limit_ns = lane.progress.at_ns, limit_s * 1e9
        return any(
            theirs.at_ns - max(since_ns, theirs.began_ns) >= limit_ns and _is_past(own, theirs)
            for own, theirs in pairs
        )
    past = [one for one in going if (one.last_step or 0) > (lane.last_step or 0)]
    return len(past) >= max(FEWEST, len(others) / 2)


def compared_steps(
    lane: LaneState, going: Sequence[LaneState]
) -> tuple[int | None, list[int | None]]:
    """Where a rank is and where those are that go on, by what it has in common with them."""
    pairs = [pair for one in going for pair in _pairs(lane.progress, one.progress)]
    past = [(own, theirs) for own, theirs in pairs if _is_past(own, theirs)]
    if not past:
        return lane.last_step, [one.last_step for one in going]
    latest, _ = max(past, key=lambda pair: pair[1].at_ns)
    return latest.step, [theirs.step for own, theirs in pairs if own is latest]


def _pairs(own: Progress, other: Progress) -> Iterator[tuple[SetProgress, SetProgress]]:
    """Yields what can be compared: the same metrics, else sets that have some in common."""
    for names, one in own.recent():
        same = other.sets.get(names)
        if same is not None:
            yield one, same
            continue
        for others, two in other.sets.items():
            if others not in own.sets and not set(names).isdisjoint(others):
                yield one, two


def _is_past(own: SetProgress, theirs: SetProgress) -> bool:
    """True if the others are where the silent one should have logged its next row."""
    if own.step is None or theirs.step is None:
        return own.step is theirs.step
    return theirs.step >= own.step + max(1, own.stride)


def lags(ranks: Sequence[LaneState]) -> dict[int, Lag[Names]]:
    """By how many steps ranks are behind, by the numbers of their lanes."""
    found = lags_of({lane.number: lane.progress.steps() for lane in ranks})
    if len(found) < len(ranks):  # no set is the same: compare single metrics
        by_metric = lags_of({lane.number: _by_metric(lane.progress) for lane in ranks})
        found = by_metric | found
    return found


def _by_metric(progress: Progress) -> dict[Names, int]:
    return {(name,): step for names, step in progress.steps().items() for name in names}


def slowest_of(lanes: Sequence[LaneState], usual: Mapping[int, int]) -> str | None:
    """A sentence about the rank that is behind the others of a run; None if none is.

    Args:
        lanes: all lanes.
        usual: by lane: by how many steps it was behind before, at least.
    """
    ranks = {lane.number: lane for lane in lanes if is_rank(lane)}
    found = lags(list(ranks.values()))
    far = {
        number: lag
        for number, lag in found.items()
        if lag.steps >= max(1, _stride(ranks[number], lag.key))
        and lag.steps > TIMES_USUAL * usual.get(number, 0)
    }
    if not far:
        return None
    number = max(far, key=lambda one: far[one].steps)
    steps = {one: _step_of(lane.progress, far[number].key) for one, lane in ranks.items()}
    others = steps_of([step for one, step in steps.items() if one != number])
    own = steps[number]
    return f"{name_of(ranks[number])} is behind: last row at step {own:,}, the others {others}"


def _step_of(progress: Progress, key: Names) -> int | None:
    found = progress.sets.get(key)
    return _by_metric(progress).get(key) if found is None else found.step


def _stride(lane: LaneState, key: Names) -> int:
    found = lane.progress.sets.get(key)
    return found.stride if found is not None else 0


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
