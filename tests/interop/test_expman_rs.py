"""The readers of expman-rs 1.3.0 read our runs, live and finished."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from interop.live import finish, start, stopped
from process.runs import writer_of
from programs.interop_rows import METRICS, PARAMS, ROWS, expected_column

from expman import ExperimentConfig, LoggingEngine

# It reads a bool, NaN and the infinities as None, and the column `mixed` as floats.
PEER_ROWS = [
    {
        metric: None
        if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value))
        else value
        for metric in METRICS
        for value in [expected_column(metric)[number]]
    }
    for number in range(len(ROWS))
]


def with_expman_rs(run_dir: Path, env: dict[str, str]) -> dict[str, Any]:
    """What the readers of expman-rs 1.3.0 say about a run, in a process of its own."""
    program = Path(__file__).parents[1] / "programs" / "read_with_expman_rs.py"
    done = subprocess.run(
        [os.environ["EXPMAN_RS_PYTHON"], "-P", program, run_dir],
        cwd=run_dir,
        env=env,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def check_peer(found: dict[str, Any], status: str, times: int) -> None:
    """It found the run, the parameters, and the rows as many times as they were logged."""
    assert [status] == [run["status"] for run in found["runs"]]
    assert (status, "interop", "run") == tuple(
        found["run"][key] for key in ("status", "experiment", "name")
    )
    assert (["a", "b"], "ä", "python") == tuple(
        found["run"][key] for key in ("tags", "description", "language")
    )
    assert PARAMS == found["config"]
    assert list(range(times * len(ROWS))) == [row["step"] for row in found["metrics"]]
    rows = [{metric: row[metric] for metric in METRICS} for row in found["metrics"]]
    assert PEER_ROWS * times == rows


@pytest.mark.peers
def test_expman_rs_reads_live_and_finished_runs(
    program, program_env: dict[str, str], run_base: Path
) -> None:
    """expman-rs 1.3.0 reads vectors.parquet alone, with a tail, and after the end."""
    program_env.pop("PYTHONPATH", None)
    trainer, run_dir = start(program, run_base)
    check_peer(with_expman_rs(run_dir, program_env), "RUNNING", 1)

    trainer.send_line("more")
    trainer.read_line()
    with stopped(writer_of(trainer.pid)):
        check_peer(with_expman_rs(run_dir, program_env), "RUNNING", 2)

    finish(trainer)
    found = with_expman_rs(run_dir, program_env)
    check_peer(found, "FINISHED", 2)
    assert {"best": 0.5} == found["run"]["scalars"]
    assert found["run"]["duration_secs"] > 0
    assert found["run"]["finished_at"] > found["run"]["started_at"]
    assert 0.5 == found["run"]["vectors"]["mixed"]


@pytest.mark.peers
def test_a_run_that_went_on(run_base: Path, program_env: dict[str, str]) -> None:
    """It reads the present line of a run of two attempts, and the status of the last one."""
    config = {"name": "e", "base_dir": str(run_base), "run_name": "r"}
    with LoggingEngine(ExperimentConfig(**config)) as engine:
        for step in range(5):
            engine.log_vector({"n": float(step)}, step)
        engine.close("FAILED", reason="preempted by SIGTERM")
    with LoggingEngine(ExperimentConfig(**config, resume="must", from_step=3)) as engine:
        for step in range(3, 6):
            engine.log_vector({"n": 10.0 * step}, step)
    found = with_expman_rs(run_base / "e/r", program_env)
    rows = [(row["step"], row["n"]) for row in found["metrics"]]
    assert [(0, 0.0), (1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0), (5, 50.0)] == rows
    assert ("FINISHED", {"n": 50.0}) == (found["run"]["status"], found["run"]["vectors"])
