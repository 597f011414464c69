"""The roll-up over ranks is right or absent, whoever is killed and whatever the disk does."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import StartProgram
from process.runs import only_run, run_yaml

from expman import Run
from expman.reading import ranks
from expman.reading.ranks import over_ranks
from expman.reading.stored_rollup import read_rollup

RANKS, ROWS = 3, 60
PROGRAM = "log_in_ranks.py"


@pytest.mark.parametrize("fault", ["", "kill@1", "kill@2", "EIO@1"])
def test_roll_up_of_a_node(
    program: StartProgram,
    run_base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    """After a kill the successor makes it; where it cannot be written, none is left."""
    armed = tmp_path / "armed"
    armed.touch()
    env = {"EXPMAN_FAILPOINTS": f"ranks-row-group={fault}:{armed}"} if fault else {}
    way = "live" if fault == "kill@2" else "short"
    program(PROGRAM, run_base, RANKS, ROWS, way, env=env).succeed()
    run_dir = only_run(run_base)
    yaml = run_yaml(run_dir)
    assert ("FINISHED", RANKS * ROWS, 0) == (
        yaml["status"],
        yaml["rows_written"],
        yaml["rows_missing"],
    )
    run = Run(run_dir)
    assert fault.startswith("kill") == (yaml["writer_restarts"] == 1)
    if fault.startswith("EIO"):
        assert not (run_dir / "ranks.parquet").exists()
        assert "there is no ranks.parquet" in (run_dir / "run.log").read_text()
        return
    assert (run_dir / "ranks.parquet").exists()
    rolled_up = read_rollup(run, ["loss"], None)
    assert rolled_up is not None
    found = over_ranks(run, ["loss"], last=None)
    monkeypatch.setattr(ranks, "read_rollup", lambda *arguments: None)
    assert over_ranks(run, ["loss"], last=None).equals(found)
    assert ROWS == found.num_rows
    assert dict.fromkeys(range(RANKS), ROWS) == {
        rank: rows for rank, (_, _, rows) in rolled_up.states.items()
    }
