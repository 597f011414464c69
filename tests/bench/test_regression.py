"""What a call and a row cost, as ratios within one run.

Absolute times would fail on a busy machine. These do not: the call and its floor take turns of
some hundred calls in one process, and their medians know nothing of the calls that were
interrupted; the writer's cost is processor time, not time; its memory is bounded by the buffer,
however far it lags behind.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import StartProgram

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
CHILD = "import sys; sys.path.append(sys.argv.pop()); from benchmark.child import main; main()"

# Several times what is measured on a quiet machine: these catch what makes a call another kind
# of call (a lock, a system call, a copy per value), not what makes it a little slower.
LIMITS = {"2": 6.0, "50": 5.0}
GROWTH_LIMIT = 2.0
MEMORY_LIMIT = 1.7

PEAK = """
import resource, sys, expman
config = expman.ExperimentConfig("exp", sys.argv[1], max_buffer_bytes=8 * 2**20)
with expman.LoggingEngine(config) as engine:
    for step in range(int(sys.argv[2])):
        engine.log_vector({"loss": 1 / (step + 1), "acc": step / 3}, step)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def measure(program: StartProgram, task: str, directory: Path, **params: Any) -> dict[str, Any]:
    child = program(["-c", CHILD, str(SCRIPTS)])
    job = {"task": task, "contestant": "expman", "directory": str(directory), "params": params}
    child.send_line(json.dumps(job))
    child.close_stdin()
    answer = json.loads(child.succeed())
    assert "result" in answer, answer
    result: dict[str, Any] = answer["result"]
    return result


@pytest.mark.parametrize("metrics", LIMITS)
def test_a_call_costs_a_few_floors(metrics: str, program: StartProgram, run_base: Path) -> None:
    """log_vector stays within a few times its floor, measured in turns in the same process."""
    found = measure(program, "floor", run_base, metrics=[int(metrics)], turns=40)

    assert found["parts"][metrics]["to_floor"] < LIMITS[metrics]


def test_a_row_costs_the_writer_the_same_in_a_longer_run(
    program: StartProgram, tmp_path: Path
) -> None:
    """The CPU that the writer needs per row does not grow from 20,000 to 200,000 rows."""
    few, many = (
        measure(program, "whole", tmp_path / str(rows), rows=rows, seconds=50)
        for rows in (20_000, 200_000)
    )

    assert (20_000, 200_000) == (few["rows"], many["rows"])
    growth = (many["others_cpu_s"] / many["rows"]) / (few["others_cpu_s"] / few["rows"])
    assert growth < GROWTH_LIMIT


def test_the_writer_stays_small_in_a_longer_run(program: StartProgram, run_base: Path) -> None:
    """Its memory grows little from 10,000 to 1,000,000 rows."""
    few, many = (
        int(program(["-c", PEAK, str(run_base), str(rows)]).succeed())
        for rows in (10_000, 1_000_000)
    )

    assert many < MEMORY_LIMIT * few
