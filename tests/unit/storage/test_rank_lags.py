"""By how many steps ranks are behind."""

from __future__ import annotations

import random
import statistics

import pytest

from expman.storage.rank_lags import lags_of


@pytest.mark.parametrize("seed", range(20))
def test_lags_are_those_to_the_median_of_the_others(seed: int) -> None:
    """Metric by metric; the greatest one counts, and nobody who is alone has any."""
    dice = random.Random(seed)
    progress = {
        rank: {key: dice.randint(0, 9) for key in "abc" if dice.random() < 0.6}
        for rank in range(dice.randint(0, 7))
    }
    found = lags_of(progress)
    for rank, steps in progress.items():
        lags = []
        for key, step in steps.items():
            others = [one[key] for who, one in progress.items() if who != rank and key in one]
            if others:
                lags.append(max(0, statistics.median_low(others) - step))
        assert (max(lags) if lags else None) == (found[rank].steps if rank in found else None)


def test_one_that_is_alone_ahead_accuses_nobody() -> None:
    """Rank 0 evaluates under a name that all have logged once."""
    progress = {rank: {"loss": 100, "accuracy": 0} for rank in range(4)}
    progress[0]["accuracy"] = 5000
    assert {0} == {lag.steps for lag in lags_of(progress).values()}
    progress[2]["loss"] = 80
    assert (20, "loss") == lags_of(progress)[2]
