"""A rank that stands still, beside the runs of the other ranks of its job."""

from __future__ import annotations

from pathlib import Path

import pytest
from lanes import make_hello

from expman.metadata import MetricBest, RunMetadata
from expman.models import Rank, RunStatus
from expman.storage.yamlfile import RunFile
from expman.writer.rank_runs import compare_ranks


def write_run(
    base: Path,
    rank: int,
    step: int,
    group: str = "job",
    status: RunStatus = RunStatus.RUNNING,
    **others: int,
) -> None:
    name = f"run-rank{rank}" if rank else "run"
    path = base / "e" / name
    path.mkdir(parents=True)
    best = {
        name: MetricBest(last=1.0, last_step=at) for name, at in {"loss": step, **others}.items()
    }
    meta = RunMetadata(
        name=name, experiment="e", status=status, group=group, best=best, rank=Rank(rank=rank)
    )
    RunFile(str(path)).write(meta)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ({0: 400, 1: 390}, "rank 2 is behind: last row at step 120, the others at 390 to 400"),
        ({0: 121, 1: 7}, "rank 1 is behind: last row at step 7, rank 2 at 120"),
        ({0: 120, 1: 120}, "the other ranks are at 120"),
        ({}, None),
    ],
)
def test_who_is_behind(tmp_path: Path, steps: dict[int, int], expected: str | None) -> None:
    """The files of the others show it; those of another job, or damaged ones, do not count."""
    for rank, step in {2: 120, **steps}.items():
        write_run(tmp_path, rank, step)
    write_run(tmp_path, 3, 5, group="another job")
    damaged = tmp_path / "e" / "run-rank4"
    damaged.mkdir()
    (damaged / "run.yaml").write_text("{")
    hello = make_hello(
        base_dir=str(tmp_path),
        experiment="e",
        run_name="run-rank2",
        group="job",
        rank=Rank(rank=2, world_size=5),
    )
    assert expected == compare_ranks(hello, 120)
    assert compare_ranks(hello, None) is None


def test_a_rank_that_has_ended_is_not_behind(tmp_path: Path) -> None:
    """It is done, wherever it stopped."""
    write_run(tmp_path, 0, 5, status=RunStatus.FINISHED)
    write_run(tmp_path, 1, 120)
    hello = make_hello(
        base_dir=str(tmp_path),
        experiment="e",
        run_name="run-rank1",
        group="job",
        rank=Rank(rank=1, world_size=2),
    )
    assert "the other ranks are at 5" == compare_ranks(hello, 120)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (120, "the other ranks are at 120"),
        (119, "rank 2 is behind: last row at step 119, the others at 120"),
    ],
)
def test_only_the_same_metrics_are_compared(tmp_path: Path, own: int, expected: str) -> None:
    """Rank 0 evaluates, with steps of its own, which are past those of training."""
    write_run(tmp_path, 0, 120, accuracy=5000)
    write_run(tmp_path, 1, 120)
    write_run(tmp_path, 2, own)
    hello = make_hello(
        base_dir=str(tmp_path),
        experiment="e",
        run_name="run-rank2",
        group="job",
        rank=Rank(rank=2, world_size=3),
    )
    assert expected == compare_ranks(hello, own)
