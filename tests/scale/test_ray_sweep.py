"""`expman sweep --on ray`: each trial is run once, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from conftest import Program, StartProgram
from process.runs import is_running, wait_until

import expman

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(600)]
TRIAL = Path(__file__).resolve().parents[1] / "programs" / "sweep_trial.py"


class OnRay:
    """A sweep of trials 0, 1, 2 … with n = 0, 1, 2 …, as often as it is called."""

    def __init__(self, program: StartProgram, place: Path, env: dict[str, str], text: str) -> None:
        self.base = place / "base"
        self._program = program
        self._started = place / "started"
        self._path = place / "search.yaml"
        self._path.write_text(f"metric: loss\n{text}")
        self._env = env | {"STARTED": str(self._started)}

    def start(self, *options: str, **env: object) -> Program:
        python = os.environ["EXPMAN_CLUSTERS_PYTHON"]
        call = ["-m", "expman.cli", "sweep", self._path, "--base-dir", self.base, "--on", "ray"]
        found: Program = self._program(
            [*map(str, call), *options, "--", python, str(TRIAL)],
            env=self._env | {key: str(value) for key, value in env.items()},
            python=python,
        )
        return found

    def trials(self) -> dict[int, dict[str, Any]]:
        paths = (self.base / ".sweeps" / "search" / "trials").glob("*.json")
        return {one["number"]: one for one in (json.loads(path.read_text()) for path in paths)}

    def statuses(self) -> list[str]:
        return [one["status"] for _, one in sorted(self.trials().items())]

    def starts(self) -> list[int]:
        text = self._started.read_text() if self._started.exists() else ""
        return sorted(map(int, text.split()))


def test_a_grid_on_ray(program: StartProgram, tmp_path: Path, ray_env: dict[str, str]) -> None:
    """One fails; that of a lost actor is run again; a second call does what a killed one has left.

    Runs have the group and the names that they have in any sweep.
    """
    sweep = OnRay(program, tmp_path, ray_env, "params: {n: [0, 1, 2]}\n")
    go_on = tmp_path / "go-on"
    first = sweep.start("-j", "1", "--each", "cpu=0.5", WAIT_FOR=go_on, FAILS=1)
    wait_until(lambda: sweep.starts() == [0], "the first trial")
    actor = parent_of(sweep.trials()[0]["pid"])
    os.kill(actor, signal.SIGKILL)
    wait_until(lambda: sweep.starts() == [0, 0], "its second start")
    go_on.touch()
    wait_until(lambda: sweep.statuses()[:1] == ["FINISHED"], "the end of the first trial")
    go_on.unlink()
    wait_until(lambda: 1 in sweep.starts(), "the second trial")
    pid = wait_until(lambda: sweep.trials()[1]["pid"], "its process")
    first.kill()
    wait_until(lambda: not is_running(pid), "the end of the second trial's process")
    assert ["FINISHED", "RUNNING"] == sweep.statuses()

    go_on.touch()
    second = sweep.start("-j", "1", WAIT_FOR=go_on, FAILS=1)
    assert 1 == second.wait(400), second.stderr
    assert "best: trial 0" in second.stderr
    assert ["FINISHED", "FAILED", "FINISHED"] == sweep.statuses()
    assert [0, 0, 1, 1, 2] == sweep.starts()
    names = {run.name for run in expman.runs(sweep.base, group="search", status="finished")}
    assert {"search-0000", "search-0002"} <= {name[:11] for name in names}


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
