"""The harness itself, from its command line to its results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmark.contestants import ALL, BY_NAME
from benchmark.main import choose, parse_arguments
from benchmark.plan import FULL, MEASUREMENTS, jobs_for
from conftest import StartProgram

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
MAIN = "import sys; sys.path.append(sys.argv.pop(1)); from benchmark.main import main; main()"
BROKEN = """
import sys
sys.path.append(sys.argv.pop(1))
from benchmark.jobs import Runner, adopt_orphans
adopt_orphans()
runner = Runner(sys.argv[1], limit_s=float(sys.argv[2]), grace_s=0.2)
job = {"task": "calls", "contestant": "floor", "params": {}}
print(__import__("json").dumps(runner.run(sys.argv[3], job)))
"""


def measure(program: StartProgram, tmp_path: Path, *arguments: object) -> dict[str, Any]:
    results = tmp_path / "results"
    program(
        ["-c", MAIN, str(SCRIPTS)], *arguments, "--results", results, "--scratch", tmp_path
    ).succeed()
    (path,) = results.iterdir()
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_measurement_gives_results(program: StartProgram, tmp_path: Path) -> None:
    """One tiny measurement runs from the command line to raw results with expman in them."""
    found = measure(program, tmp_path, "--tiny", "--rounds", 1, "--only", "floors")

    (record,) = found["records"]
    assert ("floors", "expman", 0) == (
        record["measurement"],
        record["contestant"],
        record["round"],
    )
    assert record["result"]["parts"]["2"]["p50"] > 0
    assert 0 == record["usage"]["left_behind"]


def test_rows_of_a_killed_process_are_counted(program: StartProgram, tmp_path: Path) -> None:
    """The measurement that kills its process reads back what survived: all, and CRASHED."""
    found = measure(program, tmp_path, "--tiny", "--only", "killed", "--only", "expman")

    result = found["records"][0]["result"]
    assert (0, "CRASHED") == (result["lost"], result["status"])


def test_a_child_that_dies_is_reported(program: StartProgram, tmp_path: Path) -> None:
    """A contestant whose process ends without an answer is in the results, with its error."""
    output = program(["-c", BROKEN, str(SCRIPTS)], tmp_path, 30, "/bin/false").succeed()

    assert json.loads(output)["error"].startswith("ended with 1")


def test_a_child_that_hangs_is_ended(program: StartProgram, tmp_path: Path) -> None:
    """A contestant that takes too long is ended, with what it has started, and reported."""
    hangs = tmp_path / "hangs"
    hangs.write_text("#!/bin/sh\nsleep 100 &\nsleep 100\n")
    hangs.chmod(0o755)

    output = program(["-c", BROKEN, str(SCRIPTS)], tmp_path, 0.3, hangs).succeed()

    assert "took too long and was ended" == json.loads(output)["error"]


def test_every_measurement_has_a_logger_and_every_peer_all_that_fit() -> None:
    """No measurement is without expman, and every peer is measured beside it."""
    planned = {one.name: {job.measurement for job in jobs_for(one, FULL)} for one in ALL}

    assert set(MEASUREMENTS) == planned["expman"]
    for one in ALL:
        if one.kind == "peer":
            missing = set(MEASUREMENTS) - planned[one.name]
            alone = {"floors", "kinds", "imports", "column", "observed", "pictures"}
            assert missing <= alone, one.name


def test_a_peer_takes_part_in_a_quick_run_only_if_it_is_named() -> None:
    """`--quick` leaves the peers out, `--only NAME` takes one in."""
    assert {True} == {not one.packages for one in choose([], peers=False)[0]}
    assert [BY_NAME["aim"]] == choose(["aim"], peers=False)[0]


def test_a_name_is_a_measurement_or_a_contestant() -> None:
    """What `--only` takes is never both."""
    assert set() == set(MEASUREMENTS) & set(BY_NAME)


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt measurement or contestant is an error, not an empty result."""
    with pytest.raises(SystemExit):
        parse_arguments(["--only", "expmann"])

    assert "no measurement and no contestant: expmann" in capsys.readouterr().err
