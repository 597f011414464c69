"""A writer that is killed loses no row and writes none twice; the trainer never notices."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from process.ledger import Ledger
from process.runs import (
    is_running,
    segments_of,
    serving,
    wait_until,
    writer_of,
    writers_counted,
    writers_of,
)

from expman.writer.recover import recover

SEED = 20_260_203
PACKAGE = Path(__file__).parents[2] / "expman"
OTHER_PROCESSES = (
    *("catalog_files", "importers", "process_end", "rank_file", "run_copy", "supersede"),
    "take_over",
)
"""Folders and files whose points no writer of one rank passes that loses no process; other tests
have faults there."""
SOURCES = [
    path
    for path in PACKAGE.rglob("*.py")
    if not {*path.relative_to(PACKAGE).parts, path.stem} & {*OTHER_PROCESSES}
]
POINTS = sorted(
    {
        point
        for path in SOURCES
        for point in re.findall(r'hit\("([^"]+)"\)|, "([a-z]+-half-[a-z]+)"\)', path.read_text())
        for point in point
        if point
    }
    | {
        f"{file}-{moment}"
        for path in PACKAGE.rglob("*.py")
        for file in re.findall(r'^    point = "([a-z]+)"', path.read_text(), re.MULTILINE)
        for moment in ("before-append", "half-appended", "after-append")
    }
)
# A writer passes these at the end of a run, and so does its successor.
ONCE = {"address-before-remove", "finish-before-ended", "finish-before-status", "tail-sync"}
# The first passage is a worker's end, the second one the run's.
AT_END = {"lane-before-remove", "lane-half-removed"}
# Its successor does not pass this one again: what it leads to is done.
NEVER_AGAIN = {"retire-before-count"}
# What it leaves belongs to no run any more. Any recovery of this user may remove that, and those of
# other tests run beside this one: then there is nothing left to do for a successor.
LEFT_TO_ANYBODY = {"address-before-remove"}
# A writer passes these again and again while a run goes on.
USUAL = [point for point in POINTS if point not in ONCE | AT_END | NEVER_AGAIN]


def new_ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


@pytest.mark.parametrize("points", [USUAL[start::9] for start in range(9)], ids=",".join)
def test_killed_at_several_points(
    program, tmp_path: Path, run_base: Path, points: list[str]
) -> None:
    """SIGKILL at the first passage of a named point, and each successor at another one."""
    marks = {point: tmp_path / point for point in points}
    more = tmp_path / "more"
    for path in (more, *marks.values()):
        path.touch()
    ledger = new_ledger(tmp_path)
    trainer = program(
        "log_for_ledger.py",
        ledger.options(run_base, worker=True, gone=str(more), after_s=0.2),
        env={"EXPMAN_FAILPOINTS": ",".join(f"{p}=kill@1:{mark}" for p, mark in marks.items())},
    )
    run_dir = Path(trainer.read_line())
    writer = writer_of(trainer.pid)
    wait_until(lambda: not any(mark.exists() for mark in marks.values()), "the kills")
    more.unlink()
    trainer.expect_line("closed")
    trainer.succeed()
    run = ledger.check(run_dir, "FINISHED")
    # Two threads of one writer may come to their points at once.
    assert len(points) - 1 <= run["writer_restarts"] <= len(points)
    assert 0 == ledger.waits  # the buffer has room: a call waits for no writer
    wait_until(lambda: not segments_of(writer), "no memory left")


@pytest.mark.parametrize(
    "point",
    [pytest.param(point, marks=[pytest.mark.soak] * (point in USUAL)) for point in POINTS],
)
def test_killed_at_each_point(program, tmp_path: Path, run_base: Path, point: str) -> None:
    """SIGKILL at the first passage of a named point, and its successor at a later one.

    Some points come after the run's end, when close() may have returned: the trainer stays, so
    that there is somebody to start a successor.
    """
    first, later = tmp_path / "first", tmp_path / "later"
    faults = [f"{point}=kill@1:{first}"]
    first.touch()
    if point not in NEVER_AGAIN:
        later.touch()
        faults.append(f"{point}=kill@{1 if point in ONCE else 2}:{later}")
    ledger = new_ledger(tmp_path)
    gone = first if point in AT_END | NEVER_AGAIN else later
    options = {"rows": 3000} if point in ONCE else {"gone": str(gone)}
    trainer = program(
        "log_for_ledger.py",
        ledger.options(run_base, worker=True, stay=True, **options),
        env={"EXPMAN_FAILPOINTS": ",".join(faults)},
    )
    run_dir = Path(trainer.read_line())
    writer = writer_of(trainer.pid)
    trainer.expect_line("closed")
    wait_until(lambda: not first.exists(), "the first kill")
    wait_until(
        lambda: not later.exists() or (point in LEFT_TO_ANYBODY and not segments_of(writer)),
        "the second kill",
    )
    wait_until(lambda: not segments_of(writer), "the end of the last writer")
    trainer.send_line()
    trainer.succeed()
    run = ledger.check(run_dir, "FINISHED")
    ended = point in ("finish-before-ended", "address-before-remove") or point.startswith("lane-")
    assert ended or run["writer_restarts"] == len(faults)
    assert 0 == ledger.waits  # the buffer has room: a call waits for no writer
    assert [] == segments_of(writer)


def test_killed_again_and_again(program, tmp_path: Path, run_base: Path) -> None:
    """SIGKILL at random moments under load, eight times: all rows, none twice."""
    chance = random.Random(SEED)
    ledger = new_ledger(tmp_path)
    more = tmp_path / "more"
    more.touch()
    trainer = program("log_for_ledger.py", ledger.options(run_base, gone=str(more), after_s=0.1))
    run_dir = Path(trainer.read_line())
    writer = writer_of(trainer.pid)
    served = 0
    for kill in range(8):
        if kill % 4:  # the others may die before they do anything
            served += 1
            wait_until(
                lambda w=writer, n=served: w.pid == serving(w) and writers_counted(w) >= n,
                "a writer that serves",
            )
        time.sleep(chance.random() * 0.3)
        os.kill(writer.pid, signal.SIGKILL)
        old = writer.pid
        wait_until(
            lambda old=old: [w for w in writers_of(trainer.pid) if w.pid != old], "a successor"
        )
        writer = next(w for w in writers_of(trainer.pid) if w.pid != old)
    more.unlink()
    trainer.expect_line("closed")
    trainer.succeed()
    run = ledger.check(run_dir, "FINISHED")
    assert 6 <= run["writer_restarts"] <= 8
    assert "Traceback" not in trainer.stderr
    assert 0 == ledger.waits
    assert [] == segments_of(writer)


def at_full_speed(gone: Path, overflow: str, max_buffer_bytes: int) -> dict[str, Any]:
    """Settings of a trainer that logs rows only, without a pause, until `gone` is gone."""
    return {
        "gone": str(gone),
        "after_s": 0.1,
        "pause_every": 0,
        "others": False,
        "overflow": overflow,
        "max_buffer_bytes": max_buffer_bytes,
    }


@pytest.mark.parametrize("overflow", ["block", "drop"])
def test_killed_while_the_buffer_is_full(
    program, tmp_path: Path, run_base: Path, overflow: str
) -> None:
    """With a small buffer and no writer, `block` waits and loses nothing, `drop` counts exactly."""
    chance = random.Random(f"{SEED}-{overflow}")
    ledger = new_ledger(tmp_path)
    more = tmp_path / "more"
    more.touch()
    limit = 512 * 1024
    trainer = program(
        "log_for_ledger.py", ledger.options(run_base, **at_full_speed(more, overflow, limit))
    )
    run_dir = Path(trainer.read_line())
    for _ in range(4):
        writer = writer_of(trainer.pid)
        time.sleep(chance.random() * 0.6)
        os.kill(writer.pid, signal.SIGKILL)
        wait_until(
            lambda old=writer.pid: [w for w in writers_of(trainer.pid) if w.pid != old],
            "a successor",
        )
    more.unlink()
    trainer.expect_line("closed")
    trainer.succeed()
    run = ledger.check(run_dir, "FINISHED")
    assert (run["rows_dropped"] > 0) == (overflow == "drop")
    assert 0 < run["buffer_high_water_bytes"] <= limit
    assert ledger.waits or overflow == "drop"


def test_killed_with_a_full_buffer_that_is_in_the_files(
    program, tmp_path: Path, run_base: Path
) -> None:
    """A successor that finds only rows it need not write gives their memory back all the same."""
    ledger = new_ledger(tmp_path)
    more = tmp_path / "more"
    marks = [tmp_path / "first", tmp_path / "second"]
    for path in (more, *marks):
        path.touch()
    points = (
        f"commit-before-release=kill@1:{marks[0]}",
        f"release-before-drained=kill@1:{marks[1]}",
    )
    trainer = program(
        "log_for_ledger.py",
        ledger.options(run_base, **at_full_speed(more, "block", 256 * 1024)),
        env={"EXPMAN_FAILPOINTS": ",".join(points)},
    )
    run_dir = Path(trainer.read_line())
    wait_until(lambda: not any(mark.exists() for mark in marks), "both kills")
    more.unlink()
    trainer.expect_line("closed")
    trainer.succeed()
    ledger.check(run_dir, "FINISHED")


def test_a_recovery_comes_before_the_successor(program, tmp_path: Path, run_base: Path) -> None:
    """Any recovery removes the address of a killed writer whose runs have ended; nothing waits."""
    stopped = tmp_path / "stopped"
    stopped.touch()
    ledger = new_ledger(tmp_path)
    trainer = program(
        "log_for_ledger.py",
        ledger.options(run_base, rows=500, stay=True),
        env={"EXPMAN_FAILPOINTS": f"address-before-remove=stop@1:{stopped}"},
    )
    run_dir = Path(trainer.read_line())
    writer = writer_of(trainer.pid)
    wait_until(lambda: not stopped.exists(), "the end of the run")
    os.kill(trainer.pid, signal.SIGSTOP)  # so that it starts no successor yet
    os.kill(writer.pid, signal.SIGKILL)
    wait_until(lambda: not is_running(writer.pid), "the end of the writer")

    def recovered() -> bool:
        # The first thread of the writer may be gone before the last one, which has its locks.
        assert [] == list(recover(str(tmp_path / "elsewhere")))
        return not segments_of(writer)

    wait_until(recovered, "this recovery or one beside it")
    os.kill(trainer.pid, signal.SIGCONT)
    trainer.expect_line("closed")
    trainer.send_line()
    trainer.succeed()
    ledger.check(run_dir, "FINISHED")
    assert [] == segments_of(writer)
