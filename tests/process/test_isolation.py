"""Failures that nobody foresaw: they cost neither another run, nor the process, nor a record."""

from __future__ import annotations

from pathlib import Path

import pytest
from process.faulty import Obeying, check_finished, check_more
from process.runs import wait_until

POINTS = [
    "tail-before-append",
    "log-before-append",
    "replace",
    "artifact-before-unstage",
    "request-after-keep",
    "commit-before-release",
]


@pytest.mark.parametrize("kind", ["RuntimeError", "MemoryError"])
def test_what_nobody_foresaw(program, run_base: Path, tmp_path: Path, kind: str):
    """Any exception at any point of writing: the same writer goes on, all is there once."""
    faults = ",".join(f"{point}={kind}:{tmp_path / point}" for point in POINTS)
    trainer = Obeying(program, run_base, env={"EXPMAN_FAULTS": faults})
    run_dir = trainer.open()
    trainer("more 10")
    trainer("flush 30")
    reached = [10]
    for point in POINTS:
        before = len(trainer("state")["warnings"])
        (tmp_path / point).touch()
        reached.append(trainer("more 10")["logged"])
        trainer.try_("flush 0.3")
        if point != "artifact-before-unstage":  # the copier's own: it costs the artifact
            wait_until(lambda n=before: len(trainer("state")["warnings"]) > n, f"words on {point}")
        (tmp_path / point).unlink()
        trainer.try_("flush 30")
    trainer.try_("close 30")
    run = check_finished(run_dir, reached[-1])
    assert 0 == run["writer_restarts"]
    check_more(run_dir, reached)
