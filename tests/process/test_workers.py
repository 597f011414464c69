"""Other processes than the owner log into its run, live, die and are counted."""

from __future__ import annotations

import json
import os
import random
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from process.runs import (
    is_running,
    only_run,
    read_rows,
    run_yaml,
    segments_of,
    wait_for_end,
    wait_until,
    writer_of,
)
from process.workers import check_producers, check_worker_rows, rows_by
from programs.counters import Counters
from run_files import log_lines, params

from expman.transport.layout import LAYOUT_VERSION

THREE = [0, 1, 2]


def scene(program, run_base: Path, name: str, *arguments: object) -> Path:  # type: ignore[no-untyped-def]
    """Runs a scene of workers.py to its end and gives the run's directory."""
    run_dir = Path(program("workers.py", run_base, name, *arguments).succeed().split("\n")[-2])
    run = run_yaml(run_dir)
    assert ("FINISHED", None) == (run["status"], run["reason"])
    assert (0, 0) == (run["rows_missing"], run["writer_restarts"])
    assert run["rows_logged"] == run["rows_written"] == read_rows(run_dir).num_rows
    return run_dir


# -- who can log ---------------------------------------------------------------------------


def test_forked_children_log(program, run_base: Path) -> None:
    """Through the engine, a bound method, an Experiment, the module; grandchildren too."""
    run_dir = scene(program, run_base, "fork")
    ways = ["owner", "engine", "bound", "experiment", "bound experiment", "module"]
    ways += ["grandchild", "owner again"]
    assert dict.fromkeys(ways, THREE) == rows_by(run_dir, "way")
    # One after the other: each goes on where the one before it, of the same name, ended.
    assert {"main", "worker-0"} == check_producers(run_dir)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_log(program, run_base: Path, method: str) -> None:
    """Engine and Experiment may be arguments; they arrive attached."""
    run_dir = scene(program, run_base, "start", method)
    ways = [f"{method} {n} {what}" for n in range(2) for what in ("engine", "experiment")]
    assert dict.fromkeys(ways, THREE) == rows_by(run_dir, "way")
    assert "main" not in check_producers(run_dir)
    lines = sorted(log_lines(run_dir))
    assert [f"[INFO] hello from {method} {n}" for n in range(2)] == lines


def test_any_process_attaches_by_address(program, run_base: Path) -> None:
    """By address, by EXPMAN_RUN, and by EXPMAN_RUN through the functions of the module."""
    run_dir = scene(program, run_base, "attach")
    ways = ["argument", "variable", "module"]
    assert dict.fromkeys(ways, THREE) == rows_by(run_dir, "way")
    check_producers(run_dir)
    assert run_dir == only_run(run_base)


def test_attaching_where_the_run_is_known(program, run_base: Path) -> None:
    """The owner and a forked child get the engine that they have; later there is no run."""
    run_dir = scene(program, run_base, "same")
    assert [1, 2] == read_rows(run_dir)["n"].to_pylist()
    assert check_producers(run_dir) <= {"worker-0", "worker-1"}


def test_no_run_comes_of_attaching(program, run_base: Path, tmp_path: Path) -> None:
    """Attaching to what has ended fails, and makes neither a directory nor shared memory."""
    code = "import expman, sys\ntry: expman.attach(sys.argv[1])\nexcept expman.RunEndedError: 'ok'"
    program(["-c", code], f"shm:{'0' * 32}#0").succeed()
    assert not run_base.exists()
    assert [] == [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_worker_of_another_version_is_refused(program, run_base: Path) -> None:
    """attach() names both versions; no call returns whose row would reach no file."""
    code = """
from expman.transport import layout
layout.LAYOUT_VERSION += 1
import expman, sys
try:
    expman.attach(sys.argv[1])
except expman.LayoutVersionError as exc:
    print(exc.found, exc.expected, exc)
"""
    owner = (
        "import expman, sys; e = expman.LoggingEngine(expman.ExperimentConfig('e', sys.argv[1]))"
    )
    owner += "; print(e.address, flush=True); sys.stdin.readline(); e.close()"
    trainer = program(["-c", owner, str(run_base)])
    address = trainer.read_line()

    found = program(["-c", code, address]).succeed()

    assert f"{LAYOUT_VERSION} {LAYOUT_VERSION + 1} " in found
    assert f"version {LAYOUT_VERSION}, this expman reads {LAYOUT_VERSION + 1}; use" in found
    trainer.send_line()
    trainer.succeed()
    assert 0 == run_yaml(only_run(run_base))["rows_logged"]


# -- how workers end -------------------------------------------------------------------------


def test_workers_end_and_the_run_goes_on(program, run_base: Path) -> None:
    """Killed, by _exit or sys.exit, with an exception, by close(): no row is lost, no run ends."""
    run_dir = scene(program, run_base, "end")
    found = rows_by(run_dir, "way")
    assert [0] * 7 == found.pop("owner")
    ways = ["SIGKILL", "_exit", "sys.exit", "exception", "close", "module close", "before init"]
    assert dict.fromkeys([*ways, "process"], THREE) == found
    check_producers(run_dir)
    other = run_base / "others" / "run"
    assert ("FINISHED", {"its own run": [0]}) == (run_yaml(other)["status"], rows_by(other, "way"))


@pytest.mark.parametrize(
    ("rounds", "shared"),
    [
        pytest.param(2, True, id="shared writer"),
        pytest.param(1, False, id="own writer"),
        pytest.param(60, True, id="shared writer, many", marks=pytest.mark.soak),
    ],
)
def test_late_rows(program, shared_writer, run_base: Path, rounds: int, shared: bool) -> None:
    """Runs are closed while workers log: calls that returned are in the files once, no other is."""
    env = shared_writer().env if shared else {}
    closing = program("close_under_workers.py", run_base, rounds, env=env)
    runs = [json.loads(line) for line in closing.succeed().splitlines()]
    assert "" == closing.stderr
    assert rounds == len(runs)
    total = 0
    for run_dir, returned in runs:
        if sum(returned):
            total += check_worker_rows(run_dir, returned, threads=2)
            check_producers(run_dir)
        run = run_yaml(Path(run_dir))
        assert ("FINISHED", sum(returned)) == (run["status"], run["rows_written"]), run
        assert (0, sum(returned)) == (run["rows_missing"], run["rows_logged"])
    assert total > 0


def test_the_first_row_may_come_too_late(program, run_base: Path) -> None:
    """A worker that logs for the first time when the run has ended gets an error, the files none"""
    run_dir = scene(program, run_base, "too_late")
    assert [0] == read_rows(run_dir)["n"].to_pylist()


# -- somebody is killed ------------------------------------------------------------------------


def start_logging(program, run_base: Path, tmp_path: Path, workers: int = 3):  # type: ignore[no-untyped-def]
    """An owner and workers that log; their counters, once each has logged."""
    owner = program("log_in_workers.py", run_base, tmp_path / "counters", workers, 1)
    run_dir = Path(owner.read_line())
    pids = [int(pid) for pid in owner.read_line().split()]
    counters = Counters(tmp_path / "counters")
    wait_until(lambda: all(counters.values()), "rows of all")
    return owner, run_dir, pids, counters


def test_killed_owner(program, run_base: Path, tmp_path: Path) -> None:
    """The run is CRASHED, with each returned row of the owner and of workers, which then end."""
    owner, run_dir, pids, counters = start_logging(program, run_base, tmp_path)
    owner.kill()
    run = wait_for_end(run_dir)
    assert "CRASHED" == run["status"]
    wait_until(lambda: not any(map(is_running, pids)), "the end of the workers")
    check_worker_rows(run_dir, counters.values()[1:], threads=1)
    own = rows_by(run_dir, "worker")[-1]
    assert len(own) in (counters[0], counters[0] + 1)
    assert list(range(len(own))) == own
    check_producers(run_dir)
    assert 0 == run["rows_missing"]


def test_killed_workers(program, run_base: Path, tmp_path: Path) -> None:
    """A worker that is killed loses no row, and its memory is given back while the run goes on."""
    owner, run_dir, pids, counters = start_logging(program, run_base, tmp_path)
    writer = writer_of(owner.pid)
    before = len(segments_of(writer))
    for pid in pids[:2]:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(segments_of(writer)) < before - 2, "the release of two lanes")
    owner.send_line()
    owner.expect_line("closed")
    assert ["-9", "-9", "0"] == [owner.read_line() for _ in pids]
    check_worker_rows(run_dir, counters.values()[1:3], threads=1, slack=1)
    check_worker_rows(run_dir, counters.values()[1:], threads=1, slack=1)
    check_producers(run_dir)
    assert ("FINISHED", 0) == (run_yaml(run_dir)["status"], run_yaml(run_dir)["rows_missing"])
    owner.succeed()


def test_killed_writer(program, run_base: Path, tmp_path: Path) -> None:
    """Writers are killed while all log: each row is in the files once."""
    owner, run_dir, pids, counters = start_logging(program, run_base, tmp_path)
    for _ in range(2):
        written = run_yaml(run_dir).get("rows_written", 0)
        wait_until(
            lambda before=written: run_yaml(run_dir).get("rows_written", 0) > before,
            "more rows in the files",
        )
        os.kill(writer_of(owner.pid).pid, signal.SIGKILL)
    owner.send_line()
    owner.expect_line("closed")
    assert ["0"] * 3 == [owner.read_line() for _ in pids]
    check_worker_rows(run_dir, counters.values()[1:], threads=1)
    check_producers(run_dir)
    run = run_yaml(run_dir)
    assert ("FINISHED", 0) == (run["status"], run["rows_missing"])
    assert run["writer_restarts"] >= 1
    owner.succeed()


# -- names, and what is logged besides rows ---------------------------------------------------


def test_parameters_and_scalars_merge(program, run_base: Path) -> None:
    """At the top level, and what the writer takes last counts."""
    run_dir = scene(program, run_base, "merge")
    expected = {"owner": 1, "worker 0": 0, "worker 1": 1, "both": 1, "nested": {"n": 1}}
    assert expected == params(run_dir)
    assert {"best": 1, "of 0": True, "of 1": True} == run_yaml(run_dir)["scalars"]
    assert ["[INFO] from 0", "[INFO] from 1"] == log_lines(run_dir)


@pytest.mark.parametrize("count", [6, 24])
def test_many_at_once(program, run_base: Path, count: int) -> None:
    """They live at once: no two share a name, each costs one small lane, gone with it."""
    owner = program("workers.py", run_base, "together", count)
    owner.expect_line("together")
    writer = writer_of(owner.pid)
    names = segments_of(writer)
    size = sum(Path("/dev/shm", name).stat().st_size for name in names)
    assert size < (count + 2) * 300 * 1024
    owner.send_line()
    run_dir = Path(owner.read_line())
    owner.succeed()
    assert {f"worker-{n}" for n in range(count)} == check_producers(run_dir)
    assert {f"worker {n}": THREE for n in range(count)} == rows_by(run_dir, "way")
    assert [] == segments_of(writer)


def test_a_worker_that_logs_nothing_costs_nothing(program, run_base: Path) -> None:
    """Forks, flush() and close() alone make no lane."""
    owner = program("workers.py", run_base, "silent")
    lane = owner.read_line().rpartition("#")[2]
    names = segments_of(writer_of(owner.pid))
    # The address, the owner's lane, and at most its two first terms.
    assert {""} == {name.split("-", 2)[2:][0].rstrip("-0123456789") for name in names[1:]}
    assert {lane} == {name.split("-")[2] for name in names[1:]}
    owner.send_line()
    run_dir = Path(owner.read_line())
    owner.succeed()
    assert {"main"} == check_producers(run_dir)


def rss_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


@pytest.mark.parametrize(
    "epochs", [50, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_workers_are_made_anew_again_and_again(program, run_base: Path, epochs: int) -> None:
    """Shared memory, and the writer's descriptors and memory, stay flat."""

    def run_epochs(count: int) -> tuple[int, int, int]:
        owner.send_line(str(count))
        owner.read_line(epochs)
        wait_until(lambda: len(segments_of(writer)) <= names, "the release of the lanes")
        descriptors = len(os.listdir(f"/proc/{writer.pid}/fd"))
        return len(segments_of(writer)), descriptors, rss_kib(writer.pid)

    owner = program("workers.py", run_base, "epochs")
    owner.send_line("1")
    owner.expect_line("1")
    writer = writer_of(owner.pid)
    names = 4  # the address, and the owner's lane: its control and two terms
    first = run_epochs(epochs // 2)
    last = run_epochs(epochs - epochs // 2)
    print(f"names, descriptors, KiB: {first} after {epochs // 2} epochs, {last} after {epochs}")
    assert first[0] == last[0]
    assert abs(first[1] - last[1]) <= 6  # a file may be open for a rewrite
    assert last[2] < first[2] * 1.15 + 8 * 1024
    owner.close_stdin()
    run_dir = Path(owner.read_line())
    owner.succeed()
    table = read_rows(run_dir)
    assert np.array_equal(np.repeat(np.arange(epochs + 1), 2), np.sort(table["epoch"].to_numpy()))
    assert check_producers(run_dir) <= {"worker-0", "worker-1"}


def test_dropped_rows_of_a_worker_are_counted(program, run_base: Path) -> None:
    """What is not in the file is in rows_dropped, exactly."""
    rows = 20_000
    owner = program("workers.py", run_base, "drop")
    owner.expect_line("ready")
    writer = writer_of(owner.pid)
    os.kill(writer.pid, signal.SIGSTOP)
    try:
        owner.send_line(str(rows))
        owner.expect_line("logged")
    finally:
        os.kill(writer.pid, signal.SIGCONT)
    owner.send_line()
    run_dir = Path(owner.read_line())
    owner.succeed()
    run = run_yaml(run_dir)
    written = read_rows(run_dir).num_rows - 1  # without the owner's
    assert 0 < written < rows
    assert rows == written + run["rows_dropped"]
    assert rows + 1 == run["rows_logged"]
    log = "\n".join(log_lines(run_dir))
    said = re.findall(r"^\[WARN\] ([\d,]+) rows? of worker-0 dropped: ", log, re.MULTILINE)
    assert run["rows_dropped"] == sum(int(number.replace(",", "")) for number in said)


def test_random_kills_of_workers(program, run_base: Path, tmp_path: Path) -> None:
    """Killed one after the other at random moments: each returned row is there once."""
    owner, run_dir, pids, counters = start_logging(program, run_base, tmp_path, workers=8)
    random.Random(11).shuffle(pids)
    for pid in pids:
        before = counters[0]
        wait_until(lambda before=before: counters[0] > before + 3, "rows of the owner")
        os.kill(pid, signal.SIGKILL)
    owner.send_line()
    owner.expect_line("closed")
    assert ["-9"] * 8 == [owner.read_line() for _ in pids]
    owner.succeed()
    check_worker_rows(run_dir, counters.values()[1:], threads=1, slack=1)
    check_producers(run_dir)
