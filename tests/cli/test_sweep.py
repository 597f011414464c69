"""`expman sweep`: each trial is run once, whatever ends the sweep."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.conftest import Expman
from process.runs import wait_until

import expman
from expman import RunStatus

TRIAL = Path(__file__).resolve().parents[1] / "programs" / "sweep_trial.py"
DEADLINE_S = 120.0


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each start of a trial."""
    monkeypatch.setenv("STARTED", str(tmp_path / "started"))
    return tmp_path / "started"


def write_sweep(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "search.yaml"
    path.write_text(f"metric: loss\n{text}")
    return path


def trials(base: Path) -> list[dict[str, object]]:
    paths = sorted((base / ".sweeps" / "search" / "trials").glob("*.json"))
    return [json.loads(path.read_text()) for path in paths]


def starts(started: Path) -> list[int]:
    return sorted(map(int, started.read_text().split())) if started.exists() else []


@pytest.fixture
def sweeps(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Sweeps as processes, which end with the test."""
    found: list[subprocess.Popen[bytes]] = []
    yield found
    for one in found:
        if one.poll() is None:
            one.terminate()
        one.wait(DEADLINE_S)


def start_sweep(path: Path, base: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "expman.cli", "sweep", str(path), "--base-dir", str(base)]
    return subprocess.Popen(
        [*command, *options, "--", sys.executable, str(TRIAL)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_grid_is_run_and_is_a_table(
    expman_command: Expman, started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs have the sweep's group, tags and names; one that fails is told; a second call ends."""
    base = tmp_path / "base"
    path = write_sweep(tmp_path, "params: {n: [3, 1, 2]}\n")
    monkeypatch.setenv("FAILS", "2")
    monkeypatch.setenv("EXPMAN_TAGS", "mine")
    call = ("sweep", path, "-j", 2, "--", sys.executable, TRIAL)
    result = expman_command(*call, base_dir=base)
    assert 1 == result.code
    assert "best: trial 1, loss 1.333, n=1" in result.err
    found = {run.name: run for run in expman.runs(base, group="search")}
    assert {"search-0000", "search-0001", "search-0002"} == set(found)
    assert {"mine", "sweep:search", "trial:1"} == set(found["search-0001"].tags)
    assert {"n": 1} == found["search-0001"].config
    table = expman_command("ls", "--group", "search", "--sort", "loss:min", base_dir=base).out
    assert table.index("search-0001") < table.index("search-0002") < table.index("search-0000")
    assert ["FINISHED", "FINISHED", "FAILED"] == [one["status"] for one in trials(base)]
    assert 3 == trials(base)[2]["exit_code"]
    assert 0 == expman_command(*call, base_dir=base).code
    assert [1, 2, 3] == starts(started)
    monkeypatch.setenv("FAILS", "")
    assert 0 == expman_command(*call[:2], "--retry-failed", *call[2:], base_dir=base).code
    assert [1, 2, 2, 3] == starts(started)


def test_a_metric_that_no_run_has_is_named(
    expman_command: Expman, started: Path, tmp_path: Path
) -> None:
    """There is no best trial; the end of the sweep says why, and what may be meant."""
    path = tmp_path / "search.yaml"
    path.write_text("metric: los\nparams: {n: [1]}\n")
    result = expman_command("sweep", path, "--", sys.executable, TRIAL, base_dir=tmp_path / "base")
    assert 0 == result.code
    assert "no run has a value of the metric 'los'; did you mean 'loss'?" in result.err


def test_a_killed_sweep_goes_on_where_it_was(
    started: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sweeps: list[subprocess.Popen[bytes]],
) -> None:
    """A trial that lives is waited for, one that was killed, too, is run again, no other is."""
    base, go = tmp_path / "base", tmp_path / "go"
    monkeypatch.setenv("WAIT_FOR", str(go))
    path = write_sweep(tmp_path, "params: {n: [0, 1, 2, 3]}\n")
    sweeps.append(start_sweep(path, base, "-j", "2"))
    wait_until(lambda: [0, 1] == starts(started), "trials have begun")
    sweeps[0].kill()
    sweeps[0].wait(DEADLINE_S)
    pids = {one["number"]: one["pid"] for one in trials(base)}
    os.kill(int(str(pids[1])), signal.SIGKILL)
    sweeps.append(start_sweep(path, base, "-j", "2"))
    wait_until(lambda: [0, 1, 1] == starts(started), "trials have begun")
    go.touch()
    assert 0 == sweeps[1].wait(DEADLINE_S)
    assert [0, 1, 1, 2, 3] == starts(started)
    assert ["FINISHED"] * 4 == [one["status"] for one in trials(base)]
    assert [1.0 / 3 + n for n in range(4)] == pytest.approx([one["result"] for one in trials(base)])
    statuses = [run.status for run in expman.runs(base)]
    assert (4, 1) == (statuses.count(RunStatus.FINISHED), statuses.count(RunStatus.CRASHED))


def test_sigterm_ends_the_trials_and_the_next_call_runs_them_again(
    started: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sweeps: list[subprocess.Popen[bytes]],
) -> None:
    """No process is left behind; a second sweep of the name is refused meanwhile."""
    base, go = tmp_path / "base", tmp_path / "go"
    monkeypatch.setenv("WAIT_FOR", str(go))
    path = write_sweep(tmp_path, "params: {n: [0, 1]}\n")
    sweeps.append(start_sweep(path, base))
    wait_until(lambda: [0] == starts(started), "trials have begun")
    sweeps.append(start_sweep(path, base))
    assert 0 != sweeps[1].wait(DEADLINE_S)
    sweeps[0].terminate()
    assert 130 == sweeps[0].wait(DEADLINE_S)
    assert not Path(f"/proc/{trials(base)[0]['pid']}").exists()
    go.touch()
    sweeps.append(start_sweep(path, base))
    assert 0 == sweeps[2].wait(DEADLINE_S)
    assert [0, 0, 1] == starts(started)


def test_tasks_of_a_slurm_array_run_their_trial(
    expman_command: Expman, started: Path, tmp_path: Path
) -> None:
    """The script's command, with the number of the task; done once more, it ends at once."""
    base = tmp_path / "base"
    path = write_sweep(tmp_path, "params: {n: [5, 6]}\n")
    script = expman_command("sweep", path, "--slurm", "--", sys.executable, TRIAL, base_dir=base)
    assert "#SBATCH --array=0-1\n" in script.out
    command = script.out.splitlines()[-1].removeprefix("exec expman ")
    for task in (1, 1):
        line = f"{sys.executable} -m expman.cli {command}"
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(task), "SLURM_PROCID": "0"}
        subprocess.run(["bash", "-c", line], env=environment, check=True, capture_output=True)
    assert [6] == starts(started)
    (run,) = expman.runs(base)
    rank = run.metadata.rank
    assert ("search-0001", "search", 0) == (run.name, run.group, rank and rank.rank)


def test_other_parameters_need_another_name(expman_command: Expman, tmp_path: Path) -> None:
    """Or --anew; more trials of the same sweep do not."""
    base = tmp_path / "base"
    path = write_sweep(tmp_path, "method: random\ntrials: 1\nparams: {n: [1, 2]}\n")
    assert 0 == expman_command("sweep", path, "--", "true", base_dir=base).code
    write_sweep(tmp_path, "method: random\ntrials: 2\nparams: {n: [1, 2]}\n")
    assert 0 == expman_command("sweep", path, "--", "true", base_dir=base).code
    assert 2 == len(trials(base))
    write_sweep(tmp_path, "method: random\ntrials: 2\nparams: {n: [1, 3]}\n")
    result = expman_command("sweep", path, "--", "true", base_dir=base)
    assert 1 == result.code
    assert "--anew" in result.err
    assert 0 == expman_command("sweep", path, "--anew", "--", "true", base_dir=base).code


def test_dry_run_shows_the_commands(expman_command: Expman, tmp_path: Path) -> None:
    """With the parameters in place; nothing is started or written."""
    path = write_sweep(tmp_path, "params: {n: [1, 2]}\n")
    result = expman_command(
        "sweep", path, "-n", "--", "train", "--n={n}", base_dir=tmp_path / "base"
    )
    assert ["train --n=1", "train --n=2"] == [
        line.split("  ")[-1] for line in result.out.splitlines()
    ]
    assert not (tmp_path / "base").exists()


def test_optuna_chooses_and_ends_trials_early(
    expman_command: Expman, started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the rows in the files and the tail: a trial far above the threshold is ended."""
    pytest.importorskip("optuna")
    base = tmp_path / "base"
    text = "sampler: {name: grid, seed: 0}\ntrials: 3\nparams: {n: [1, 2, 90]}\n"
    path = write_sweep(
        tmp_path, text + "pruner: {name: percentile, percentile: 50, n_startup_trials: 1}\n"
    )
    monkeypatch.setenv("STEPS", "60")
    monkeypatch.setenv("PAUSE", "0.05")
    result = expman_command("sweep", path, "-j", 3, "--", sys.executable, TRIAL, base_dir=base)
    assert 0 == result.code
    assert [1, 2, 90] == starts(started)
    by_n = {one["params"]["n"]: one for one in trials(base)}  # type: ignore[index]
    assert "FINISHED" == by_n[1]["status"]
    assert {"FINISHED", "PRUNED"} >= {by_n[90]["status"]}
    assert "best: trial" in result.err
    assert 0 == expman_command("sweep", path, "--", sys.executable, TRIAL, base_dir=base).code
    assert [1, 2, 90] == starts(started)


def test_without_ray(
    expman_command: Expman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what to install, and which option was wrong; no trial is started."""
    path = write_sweep(tmp_path, "params: {n: [1]}\n")
    monkeypatch.setitem(sys.modules, "ray", None)
    call = ("sweep", path, "--on", "ray")
    result = expman_command(*call, "--", "false", base_dir=tmp_path / "base")
    assert 1 == result.code
    assert "pip install 'expman-sidecar[ray]'" in result.err
    result = expman_command(*call, "--each", "cpu", "--", "false", base_dir=tmp_path / "base")
    assert 2 == result.code
    assert "'cpu' must be NAME=NUMBER, such as cpu=4" in result.err
    assert [] == trials(tmp_path / "base")
