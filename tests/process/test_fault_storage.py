"""Files that cannot be written: training goes on, nothing is lost, and the user is told once."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest
from process.faulty import (
    MARGIN_S,
    TIMEOUT_S,
    Obeying,
    check_finished,
    check_more,
    mounted,
)
from process.runs import run_yaml, wait_for_end, wait_until, writer_of

# Where flush() passes, and where only the end of a run (or a consolidation) does.
AT_FLUSH = [
    "tail-before-append",
    "tail-after-schema",
    "tail-after-append",
    "tail-sync",
    "log-before-append",
    "log-after-append",
    "replace",
    "replace-before-rename",
    "replace-after-rename",
    "artifact-before-rename",
]
AT_END = [
    "parquet-row-group",
    "parquet-before-rename",
    "parquet-after-rename",
    "parquet-before-delete",
]


def check_told(answer: dict, run_dir: Path, *words: str) -> None:
    """The error says what is not durable and why, where it is, and what to do."""
    assert answer["error"] is not None
    assert answer["took_s"] < TIMEOUT_S + MARGIN_S
    for word in (f"FlushError: run {run_dir}", "shared memory", "expman-writer recover", *words):
        assert word in answer["error"]


def errors_in_log(run_dir: Path) -> list[str]:
    return [line for line in (run_dir / "run.log").read_text().splitlines() if "[ERROR]" in line]


@pytest.mark.parametrize(("code", "text"), [("EIO", "Input/output"), ("ESTALE", "Stale file")])
def test_point_fails_and_heals(program, run_base: Path, tmp_path: Path, code: str, text: str):
    """At every point of writing: rows wait, flush() says why, and after healing all is there."""
    faults = ",".join(f"{point}={code}:{tmp_path / point}" for point in AT_FLUSH)
    trainer = Obeying(program, run_base, env={"EXPMAN_FAULTS": faults})
    run_dir = trainer.open()
    trainer("more 10")
    trainer("flush 30")
    reached = [10]
    for number, point in enumerate(AT_FLUSH, 1):
        (tmp_path / point).touch()
        reached.append(trainer("more 10")["logged"])
        check_told(trainer.try_(f"flush {TIMEOUT_S}"), run_dir, text)
        assert number == len(wait_until(lambda: trainer("state")["warnings"], "a warning"))
        (tmp_path / point).unlink()
        trainer("flush 30")
    assert all(
        "cannot write, rows wait in shared memory" in line and text in line
        for line in trainer("state")["warnings"]
    )
    trainer("close 30")
    check_finished(run_dir, reached[-1])
    check_more(run_dir, reached)
    assert len(AT_FLUSH) == len([line for line in errors_in_log(run_dir) if text in line])


@pytest.mark.parametrize(("code", "text"), [("EIO", "Input/output"), ("ESTALE", "Stale file")])
def test_close_while_failing(program, run_base: Path, tmp_path: Path, code: str, text: str):
    """close() gives up in time and says what is where; once healed, the writer finishes the run."""
    points = [*AT_END, "tail-before-append", "log-before-append", "replace"]
    faults = ",".join(f"{point}={code}:{tmp_path / point}" for point in points)
    trainer = Obeying(program, run_base, env={"EXPMAN_FAULTS": faults})
    for point in points:
        run_dir = trainer.open(point)
        trainer("more 10")
        trainer("flush 30")
        (tmp_path / point).touch()
        trainer("more 10")
        check_told(trainer.try_(f"close {TIMEOUT_S * 4}"), run_dir, text)
        assert "RUNNING" == run_yaml(run_dir)["status"]
        (tmp_path / point).unlink()
        check_finished(run_dir, 20)
        check_more(run_dir, [10, 20])
    assert len(points) == len(trainer("state")["warnings"])
    assert all(text in line for line in trainer("state")["warnings"])
