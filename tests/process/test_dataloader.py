"""A real PyTorch DataLoader whose workers log."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from process.runs import only_run, read_rows, run_yaml
from process.workers import check_producers

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
