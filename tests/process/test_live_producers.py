"""Who logs into a live run is seen, with its process, until it is gone."""

from __future__ import annotations

from pathlib import Path

from conftest import StartProgram
from process.runs import wait_until

from expman import Run
from expman.reading.producers import ProducerState


def test_ranks_of_a_live_run(program: StartProgram, run_base: Path) -> None:
    """A rank that was killed has ended; its rows count. The command shows all of it."""
    job = program("wait_as_ranks.py", run_base)
    run_dir, *pids = job.read_line().split()

    def ranks() -> dict[str, ProducerState]:
        return {one.label: one for one in Run(run_dir).producers()}

    def has_all_rows() -> bool:
        return [1, 5, 5] == [one.rows for one in ranks().values()]

    wait_until(has_all_rows, "the rows")
    found = ranks()
    assert [job.pid, *map(int, pids)] == [one.pid for one in found.values()]
    assert {"running"} == {one.state for one in found.values()}
    assert [0, 4, 4] == [one.last_step for one in found.values()]
    shown = program(["-m", "expman.cli", "show", run_dir]).succeed()
    assert pids[1] in next(line for line in shown.splitlines() if line.startswith("  rank 2"))
    job.send_line()
    assert "killed" == job.read_line().strip()
    wait_until(lambda: ranks()["rank 1"].state == "ended", "the end of rank 1")
    assert (None, 5) == (ranks()["rank 1"].pid, ranks()["rank 1"].rows)
    job.send_line()
    job.succeed()
    assert {"ended"} == {one.state for one in ranks().values()}
