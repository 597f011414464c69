"""Files that cannot be written: training goes on, nothing is lost, and the user is told once."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from process.faulty import (
    TIMEOUT_S,
    Obeying,
    check_finished,
    check_more,
    check_values,
    fill,
    mounted,
    read_raw,
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
    for word in (f"FlushError: run {run_dir}", "shared memory", "expman-writer recover", *words):
        assert word in answer["error"]


def errors_in_log(run_dir: Path) -> list[str]:
    return [line for line in (run_dir / "run.log").read_text().splitlines() if "[ERROR]" in line]


@pytest.mark.parametrize(("code", "text"), [("EIO", "Input/output"), ("ESTALE", "Stale file")])
def test_point_fails_and_heals(program, run_base: Path, tmp_path: Path, code: str, text: str):
    """At every point of writing: rows wait, flush() says why, and after healing all is there."""
    faults = ",".join(f"{point}={code}:{tmp_path / point}" for point in AT_FLUSH)
    trainer = Obeying(program, run_base, env={"EXPMAN_FAILPOINTS": faults})
    run_dir = trainer.open()
    trainer("more 10")
    trainer("flush 120")
    reached = [10]
    for number, point in enumerate(AT_FLUSH, 1):
        (tmp_path / point).touch()
        reached.append(trainer("more 10")["logged"])
        check_told(trainer.try_(f"flush {TIMEOUT_S}"), run_dir, text)
        assert number == len(wait_until(lambda: trainer("state")["warnings"], "a warning"))
        (tmp_path / point).unlink()
        trainer("flush 120")
    waiting = ("rows wait in shared memory", "it waits in the run's directory")
    assert all(
        text in line and any(words in line for words in waiting)
        for line in trainer("state")["warnings"]
    )
    trainer("close 120")
    check_finished(run_dir, reached[-1])
    check_more(run_dir, reached)
    assert len(AT_FLUSH) == len([line for line in errors_in_log(run_dir) if text in line])


def test_close_while_failing(program, run_base: Path, tmp_path: Path):
    """close() gives up in time and says what is where; once healed, the writer finishes the run."""
    points = [*AT_END, "tail-before-append", "log-before-append", "replace"]
    codes = ["EIO", "ESTALE"] * 4
    faults = ",".join(
        f"{point}={code}:{tmp_path / point}" for point, code in zip(points, codes, strict=False)
    )
    trainer = Obeying(program, run_base, env={"EXPMAN_FAILPOINTS": faults})
    for number, point in enumerate(points):
        run_dir = trainer.open(point)
        trainer("more 10")
        trainer("flush 120")
        (tmp_path / point).touch()
        trainer("more 10")
        text = "Stale file" if number % 2 else "Input/output"
        check_told(trainer.try_(f"close {TIMEOUT_S * 4}"), run_dir, text)
        assert "RUNNING" == run_yaml(run_dir)["status"]
        assert number + 1 == len(trainer("state")["warnings"])
        (tmp_path / point).unlink()
        check_finished(run_dir, 20)
        check_more(run_dir, [10, 20])


def test_failing_consolidation_is_told_once(program, run_base: Path, tmp_path: Path):
    """As long as the same thing fails again and again, there is one warning."""
    fault, third_try = tmp_path / "fault", tmp_path / "third"
    fault.touch()
    third_try.touch()
    points = f"parquet-row-group=stop@3:{third_try},parquet-row-group=EIO:{fault}"
    trainer = Obeying(program, run_base, env={"EXPMAN_FAILPOINTS": points})
    run_dir = trainer.open()
    writer = writer_of(trainer.process.pid).pid
    count = 0

    def is_tried_again() -> bool:
        nonlocal count
        count += 10
        trainer("log 10")
        return Path(f"/proc/{writer}/stat").read_text().rpartition(") ")[2].startswith("T")

    wait_until(is_tried_again, "a third try")
    os.kill(writer, signal.SIGCONT)
    trainer("flush 120")  # rows are durable in the tail all the same
    assert 1 == len(trainer("state")["warnings"])
    fault.unlink()
    trainer("close 120")
    check_finished(run_dir, count)
    assert 1 == len(errors_in_log(run_dir))


def test_file_size_limit(program, run_base: Path):
    """A limit on file sizes (RLIMIT_FSIZE, EFBIG) is like any other trouble."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open()
    trainer("more 10")
    trainer("flush 120")
    writer = writer_of(trainer.process.pid)
    _, most = resource.prlimit(writer.pid, resource.RLIMIT_FSIZE, (100, -1))
    trainer("more 1000")
    check_told(trainer.try_(f"flush {TIMEOUT_S}"), run_dir, "File too large")
    resource.prlimit(writer.pid, resource.RLIMIT_FSIZE, (most, most))
    trainer("close 120")
    assert 0 == check_finished(run_dir, 1010)["writer_restarts"]
    check_more(run_dir, [10, 1010])
    assert 1 == len(trainer("state")["warnings"])


def test_base_directory_gone(program, run_base: Path):
    """A base directory that is gone for a while, a mount that is lost, is not made anew."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open()
    trainer("more 10")
    trainer("flush 120")
    aside = run_base.rename(run_base.with_name("aside"))
    trainer("more 10")
    check_told(trainer.try_(f"flush {TIMEOUT_S}"), run_dir, "No such file or directory")
    assert not run_base.exists()
    aside.rename(run_base)
    trainer("more 10")
    trainer("close 120")
    check_finished(run_dir, 30)
    check_more(run_dir, [10, 20, 30])


def test_removed_directory(program, run_base: Path):
    """What somebody deletes is gone, and run.yaml and run.log tell how much; the run goes on."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open()
    trainer("log 10")
    trainer("flush 120")
    shutil.rmtree(run_dir)
    trainer("log 10")
    answer = trainer.try_("close 5")
    assert "10 rows are missing" in answer["error"]
    run = wait_for_end(run_dir)
    assert ("FINISHED", 10, 10) == (run["status"], run["rows_written"], run["rows_missing"])
    check_values(read_raw(run_dir), np.arange(10, 20))
    assert any("10 rows" in line for line in errors_in_log(run_dir))


@pytest.mark.root
@pytest.mark.parametrize("way", ["flush", "close"])
def test_full_disk(program, tmp_path: Path, way: str):
    """A full disk: rows wait, and are all there once there is room."""
    base = tmp_path / "disk" / "experiments"
    base.parent.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=8m", "tmpfs", base.parent):
        trainer = Obeying(program, base)
        run_dir = trainer.open()
        trainer("more 10")
        trainer("flush 120")
        ballast = base.parent / "ballast"
        fill(ballast)
        trainer("log 30000")
        check_told(trainer.try_(f"{way} {TIMEOUT_S * 4}"), run_dir, "No space left on device")
        assert 1 == len(trainer("state")["warnings"])
        ballast.unlink()
        if way == "flush":
            trainer("close 120")
        check_finished(run_dir, 30010)
        assert 1 == len([line for line in errors_in_log(run_dir) if "No space" in line])
        trainer.process.close_stdin()
        trainer.process.succeed()


@pytest.mark.root
def test_read_only(program, run_base: Path):
    """A run directory that has become read-only: rows wait until it can be written again."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open()
    trainer("more 10")
    trainer("flush 120")
    with mounted("--bind", run_dir, run_dir):
        subprocess.run(["mount", "-o", "remount,bind,ro", run_dir], check=True)
        trainer("more 10")
        check_told(trainer.try_(f"flush {TIMEOUT_S}"), run_dir, "Read-only file system")
    trainer("flush 120")
    trainer("close 120")
    check_finished(run_dir, 20)
    check_more(run_dir, [10, 20])
    assert 1 == len(trainer("state")["warnings"])
