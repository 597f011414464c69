"""Ranks of a real torchrun job, each with a run of its own or all in one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from conftest import UNASKED, StartProgram
from process.runs import only_run, read_rows, run_dirs, run_yaml
from process.workers import check_producers, rows_by

from expman import Run

pytestmark = [pytest.mark.torch, pytest.mark.timeout(600)]

RANKS, ROWS = 4, 50
PROGRAM = Path(__file__).parents[1] / "programs" / "ranks.py"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_runs_of_ranks(program: StartProgram, run_base: Path) -> None:
    """Each rank has a run of its own, then all have one: starting a job takes longer than both."""
    place = ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    options = [*place, "--rdzv-id", "job7", "--max-restarts", "0"]
    command = ["-m", "torch.distributed.run", "--nproc-per-node", str(RANKS), *options]
    program([*command, str(PROGRAM)], run_base, env={"OMP_NUM_THREADS": "1"}).succeed(500)
    check_each_has_its_own(run_base / "apart")
    check_all_have_one(run_base / "together")


def check_each_has_its_own(run_base: Path) -> None:
    """One run_name, four directories, one group; each knows its rank."""
    names = ["run", *(f"run-rank{rank}" for rank in range(1, RANKS))]
    assert names == [run_dir.name for run_dir in run_dirs(run_base)]
    for rank, run_dir in enumerate(run_dirs(run_base)):
        run = run_yaml(run_dir)
        assert "FINISHED" == run["status"]
        place = [run[key] for key in ("rank", "local_rank", "world_size")]
        assert [rank, rank, RANKS] == place
        assert {rank: list(range(ROWS))} == rows_by(run_dir, "of")
        assert {rank} == set(read_rows(run_dir)["_rank"].to_pylist())
    groups = {run_yaml(run_dir)["group"] for run_dir in run_dirs(run_base)}
    assert 1 == len(groups)
    assert None not in groups


def check_all_have_one(run_base: Path) -> None:
    """Rank 0 owns it, the others attach: every row is there, with the rank that logged it."""
    run_dir = only_run(run_base)
    run = run_yaml(run_dir)
    assert ("FINISHED", 0) == (run["status"], run["rank"])
    assert {rank: list(range(ROWS)) for rank in range(RANKS)} == rows_by(run_dir, "of")
    table = read_rows(run_dir)
    assert table["of"].to_pylist() == table["_rank"].to_pylist()
    assert ["step", "timestamp", "_producer", "_seq"] == table.column_names[:4]
    expected = {"main", *(f"rank-{rank}" for rank in range(1, RANKS))}
    assert expected == check_producers(run_dir)
    assert not {"_rank"} & set(run["vectors"])


def test_the_program_of_the_documentation(program: StartProgram, tmp_path: Path) -> None:
    """All ranks' rows and lines are in one run, with the code and the machine."""
    example = PROGRAM.parents[2] / "docs" / "how-to" / "examples" / "train_with_torchrun.py"
    place = ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    command = ["-m", "torch.distributed.run", "--nproc-per-node", str(RANKS), *place]
    env = {"OMP_NUM_THREADS": "1", "EXPMAN_BASE_DIR": str(tmp_path / "runs")}
    env |= dict.fromkeys(UNASKED, "")  # as an Experiment has them
    program([*command, str(example)], env=env).succeed(500)
    run_dir = only_run(tmp_path / "runs")
    run = Run(run_dir)
    assert "FINISHED" == run_yaml(run_dir)["status"]
    assert [102, 100, 100, 100] == [one.rows for one in run.producers()]
    printed = {(line.producer, line.text) for line in run.console()}
    who = ["main", *(f"rank-{rank}" for rank in range(1, RANKS))]
    assert {(name, f"rank {rank} trains") for rank, name in enumerate(who)} <= printed
    for name in ("provenance.yaml", "system.parquet", "ranks.parquet"):
        assert (run_dir / name).exists()
