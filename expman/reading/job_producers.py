"""Who logs into the runs of a job: all ranks, whether they share a run or have one each."""

from __future__ import annotations

from expman.errors import ExpmanError
from expman.reading.producers import MOST_ROWS, ProducerState, RunProducers, with_lags
from expman.reading.ranks import sibling_runs
from expman.reading.run import Run

__all__ = ["job_producers"]

SIBLING_ROWS = 20_000
"""Of each other run the newest rows are read: there may be hundreds of runs."""


def job_producers(run: Run) -> list[ProducerState]:
    """Everybody of a job: those of a run, and of the runs of the other ranks, by their ranks.

    Raises:
        StorageError: a file of the run cannot be read. Other runs that cannot be read are missing.
    """
    found = [RunProducers(run.path, run.metadata, MOST_ROWS)]
    for sibling in sibling_runs(run):
        try:
            found.append(RunProducers(sibling.path, sibling.metadata, SIBLING_ROWS))
        except ExpmanError:
            continue  # it has just begun, or cannot be read: the others can
    shown = with_lags(found)
    return sorted(shown, key=lambda one: one.rank or 0) if len(found) > 1 else shown
