"""A real PyTorch DataLoader whose workers log."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from process.runs import KEEPS_EXIT_STATUS, only_run, read_rows, run_yaml
from process.workers import check_producers

from expman import Run
from expman.reading.postmortem import why

pytestmark = [pytest.mark.torch, pytest.mark.timeout(600)]


# Each worker of spawn and forkserver imports torch: few of them, and few epochs.
@pytest.mark.parametrize(
    ("method", "persistent", "workers", "epochs"),
    [
        ("fork", True, 4, 3),
        ("fork", False, 4, 3),
        ("spawn", True, 2, 2),
        ("spawn", False, 1, 2),
        ("forkserver", True, 2, 2),
        ("forkserver", False, 2, 2),
    ],
)
def test_workers_log_each_sample(
    program, run_base: Path, method: str, persistent: bool, workers: int, epochs: int
) -> None:
    """Every sample of every epoch is there once, under the id of the worker that made it."""
    arguments = [method, "persistent" if persistent else "fresh", run_base, workers, epochs]
    program("dataloader.py", *arguments).succeed(500)
    run_dir = only_run(run_base)
    run = run_yaml(run_dir)
    assert ("FINISHED", 0, 0) == (run["status"], run["rows_missing"], run["rows_dropped"])
    table = read_rows(run_dir)
    samples = table.filter(table["sample"].is_valid())
    assert dict.fromkeys(range(200), epochs) == Counter(samples["sample"].to_pylist())
    batches = table.filter(table["epoch"].is_valid())
    assert 20 * epochs == batches.num_rows
    assert {"main"} == set(batches["_producer"].to_pylist())
    # Workers of the next epoch have the ids, the names and the numbering of the last one's.
    names = {f"worker-{n}" for n in range(workers)}
    assert {"main", *names} == check_producers(run_dir)
    names_by_id = [f"worker-{number}" for number in samples["worker"].to_pylist()]
    assert names_by_id == samples["_producer"].to_pylist()
    assert "Nothing went wrong" in why(Run(run_dir))  # no end of theirs looks like a kill


@pytest.mark.skipif(not KEEPS_EXIT_STATUS, reason="needs Linux 6.15")
def test_a_worker_that_is_killed(program, run_base: Path) -> None:
    """It alone is named; the others are ended by PyTorch, which is usual."""
    program("dataloader.py", "fork", "fresh", run_base, 3, 1, 25).succeed(150)
    run = Run(only_run(run_base))
    told = why(run)
    assert "FINISHED, but worker-2 was killed by SIGKILL\n" in told
    assert 1 == run.metadata.processes_lost
    assert 1 == told.count("was killed by SIGKILL; it had logged 6 rows")
