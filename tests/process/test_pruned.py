"""A trial that a sweep ends early is FINISHED and pruned, and not CRASHED."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import msgspec
from conftest import StartProgram
from process.runs import wait_until

import expman
from expman import RunStatus
from expman.storage.run_edits import Edit, ask
from expman.storage.yamlfile import RunFile
from expman.writer.recover import recover
from expman.writer.stale import SILENT_S


def test_a_pruned_run_is_finished(program: StartProgram, tmp_path: Path) -> None:
    """However its process ends; it has the tag and the reason, and no post-mortem."""
    env = {
        "STARTED": str(tmp_path / "started"),
        "WAIT_FOR": str(tmp_path / "never"),
        "EXPMAN_PARAM_N": "1",
        "EXPMAN_SWEEP": "s",
        "EXPMAN_TAGS": "mine",
        "EXPMAN_BASE_DIR": str(tmp_path / "base"),
        "EXPMAN_RUN_NAME": "a",
    }
    trial = program("sweep_trial.py", env=env)
    run_dir = tmp_path / "base" / "trials" / "a"
    wait_until(lambda: (run_dir / "run.yaml").exists(), "the run has begun")
    run = expman.Run(run_dir)
    wait_until(lambda: run.vectors().num_rows == 3, "rows are written")
    ask(str(run_dir), Edit(pruned="pruned by the sweep s (median)"))
    trial.send_signal(signal.SIGTERM)
    trial.wait()
    wait_until(lambda: run.status is not RunStatus.RUNNING, "the run has ended")
    assert (RunStatus.FINISHED, ["mine", "pruned"]) == (run.status, run.tags)
    assert "pruned by the sweep s (median)" == run.reason
    assert run.postmortem is None
    assert 3 == run.vectors().num_rows


def test_a_pruned_run_without_processes_is_finished(tmp_path: Path) -> None:
    """`recover` says the same of one whose trainer, writer and memory are gone."""
    with expman.LoggingEngine(expman.ExperimentConfig("e", str(tmp_path), run_name="a")) as run:
        run.log_vector({"loss": 1.0}, 0)
    file = RunFile(run.run_dir)
    meta = file.read()
    meta.status, meta.finished_at, meta.tags = RunStatus.RUNNING, None, ["mine"]
    meta.pruned = "pruned by the sweep s (median)"
    meta.host = msgspec.structs.replace(meta.host, boot_id="before the machine was restarted")
    file.write(meta)
    then = time.time() - 2 * SILENT_S
    os.utime(file.path, (then, then))
    (outcome,) = recover(str(tmp_path))
    assert outcome.ok
    found = expman.Run(run.run_dir)
    assert (RunStatus.FINISHED, ["mine", "pruned"]) == (found.status, found.tags)
    assert "pruned by the sweep s (median)" == found.reason
    assert found.postmortem is None
    assert "CRASHED" not in (Path(run.run_dir) / "run.log").read_text()
