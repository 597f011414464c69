"""A writer that stands on its own and serves many runs."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from conftest import PROGRAMS, Program
from process.runs import (
    only_run,
    read_rows,
    run_dirs,
    run_yaml,
    wait_for_end,
    wait_until,
    writers_of,
)

TEN = list(range(10))
SERVER_DEADLINE_S = 120.0


def runs_of(trainer: Program, writer: Program | None) -> list[Path]:
    """Checks the runs of log_to_writer.py: all rows, and which writer wrote them."""
    said = json.loads(trainer.succeed())
    assert said["threads"] <= 3, "the threads of ended runs are still there"
    for address, run_dir in said["runs"]:
        run = run_yaml(Path(run_dir))
        assert ("FINISHED", 0) == (run["status"], run["writer_restarts"])
        assert TEN == read_rows(Path(run_dir))["n"].to_pylist()
        assert (writer is not None) == (writer is not None and address.startswith(writer.address))
    return [Path(run_dir) for _, run_dir in said["runs"]]


def start_waiting(program, base: Path, writer: Program) -> Program:  # type: ignore[no-untyped-def]
    """A trainer that has logged three rows through the writer and waits for words."""
    trainer = program("log_and_wait.py", base, env=writer.env)
    trainer.read_line()
    trainer.send_line("log 3")
    trainer.expect_line("logged")
    assert [] == writers_of(trainer.pid)
    return trainer


def go_on(trainer: Program) -> None:
    """Has it log two more rows and close."""
    trainer.send_line("log 2")
    trainer.expect_line("logged")
    trainer.send_line("close")
    trainer.expect_line("closed", SERVER_DEADLINE_S)


def segments_at(address: str) -> list[str]:
    token = address.split(":")[1]
    return sorted(path.name for path in Path("/dev/shm").glob(f"expman-{token}*"))


# -- how it is found -------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["variable", "variable, file", "setting", "setting, file"])
def test_ways_to_name_it(program, shared_writer, run_base: Path, tmp_path: Path, way: str) -> None:
    """By address or ready file, in EXPMAN_WRITER or in ExperimentConfig."""
    ready = tmp_path / "ready"
    writer = shared_writer("--ready-file", ready)
    wait_until(ready.exists, "the ready file")
    assert writer.address == ready.read_text().strip()
    name = str(ready) if way.endswith("file") else writer.address
    if way.startswith("variable"):
        trainer = program("log_to_writer.py", run_base, 1, False, env={"EXPMAN_WRITER": name})
    else:
        trainer = program("log_to_writer.py", run_base, 1, False, name)
    assert 1 == len(runs_of(trainer, writer))
    assert "" == trainer.stderr
    writer.send_signal(signal.SIGTERM)
    writer.succeed()
    assert not ready.exists()
    assert [] == segments_at(writer.address)


@pytest.mark.parametrize("name", [f"shm:{'0' * 32}", "/nowhere/ready", "nonsense"])
def test_a_writer_that_is_not_there(program, run_base: Path, name: str) -> None:
    """The run goes on with a writer of its own, and a warning says so."""
    trainer = program("log_to_writer.py", run_base, 1, False, env={"EXPMAN_WRITER": name})
    assert 1 == len(runs_of(trainer, None))
    assert f"the shared writer {name} cannot be used" in trainer.stderr


def test_a_writer_that_has_ended(program, shared_writer, run_base: Path) -> None:
    """The same for one that was there once, ended or killed."""
    ended, killed = shared_writer(), shared_writer()
    ended.send_signal(signal.SIGTERM)
    ended.succeed()
    killed.kill()
    for writer in (ended, killed):
        trainer = program("log_to_writer.py", run_base, 1, False, env=writer.env)
        assert 1 == len(runs_of(trainer, None))
        assert "cannot be used" in trainer.stderr
    for name in segments_at(killed.address):  # what recovery would remove some time
        Path("/dev/shm", name).unlink()


def test_a_setting_that_is_no_writer(program, run_base: Path) -> None:
    """Is the caller's mistake: ConfigError, and no directory is made."""
    trainer = program("log_to_writer.py", run_base, 1, False, "nonsense")
    assert 1 == trainer.wait()
    assert "ConfigError: writer='nonsense'" in trainer.stderr
    assert [] == list(run_dirs(run_base))


# -- many runs ------------------------------------------------------------------------------


NO_LANE = (5, 1)  # three streams; the address, whose mapping keeps a descriptor of its own


def open_things(pid: int) -> tuple[int, int]:
    """Descriptors, and mappings of shared memory, that a process has."""
    maps = Path(f"/proc/{pid}/maps").read_text().count("/dev/shm/expman-")
    return len(os.listdir(f"/proc/{pid}/fd")), maps


def rss_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


@pytest.mark.parametrize(
    "count", [30, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]
)
def test_runs_in_a_row(program, shared_writer, run_base: Path, count: int) -> None:
    """Nothing of a run is left in the writer, nor in the trainer."""
    writer = shared_writer()
    found = []
    for turn in range(2):
        trainer = program("log_to_writer.py", run_base / str(turn), count, False, env=writer.env)
        assert count == len(runs_of(trainer, writer))
        wait_until(lambda: open_things(writer.pid) == NO_LANE, "the release of the lanes")
        found.append(rss_kib(writer.pid))
    print(f"KiB after {count} runs and again: {found}")
    rss, rss_2 = found
    assert rss_2 < rss * 1.15 + 8 * 1024
    assert 1 == len(segments_at(writer.address))


def test_runs_at_once(program, shared_writer, run_base: Path) -> None:
    """Twenty runs of four trainers, all open at the same time."""
    writer = shared_writer()
    trainers = [program("log_to_writer.py", run_base, 5, True, env=writer.env) for _ in range(4)]
    found = {run_dir for trainer in trainers for run_dir in runs_of(trainer, writer)}
    assert 20 == len(found)
    wait_until(lambda: open_things(writer.pid) == NO_LANE, "the release of the lanes")
    assert 1 == len(segments_at(writer.address))


# -- somebody ends --------------------------------------------------------------------------


def test_killed_trainer(program, shared_writer, run_base: Path) -> None:
    """The writer outlives it, finishes its run as CRASHED, and serves the next."""
    writer = shared_writer()
    trainer = start_waiting(program, run_base, writer)
    trainer.kill()
    run = wait_for_end(only_run(run_base))
    assert "CRASHED" == run["status"]
    assert [0, 1, 2] == read_rows(only_run(run_base))["n"].to_pylist()
    trainer = program("log_to_writer.py", run_base, 1, False, env=writer.env)
    assert 1 == len(runs_of(trainer, writer))


def test_told_to_end_while_a_run_is_live(program, shared_writer, run_base: Path) -> None:
    """It ends within its deadline; the run goes on with a writer of its own and loses nothing."""
    writer = shared_writer(first="from expman.writer import lifetime; lifetime.DRAIN_S = 1.0")
    trainer = start_waiting(program, run_base / "live", writer)
    writer.send_signal(signal.SIGTERM)
    stopping = program("log_to_writer.py", run_base / "new", 1, False, env=writer.env)
    assert 1 == len(runs_of(stopping, None))
    assert 0 == writer.wait(SERVER_DEADLINE_S)
    wait_until(lambda: writers_of(trainer.pid), "the run's own writer")
    go_on(trainer)
    run_dir = only_run(run_base / "live")
    assert "FINISHED" == run_yaml(run_dir)["status"]
    assert [0, 1, 2, 3, 4] == read_rows(run_dir)["n"].to_pylist()
    wait_until(lambda: not segments_at(writer.address), "the end of the address")


def test_told_to_end_without_a_run(shared_writer) -> None:
    """It ends at once."""
    writer = shared_writer()
    writer.send_signal(signal.SIGINT)
    assert 0 == writer.wait()
    assert [] == segments_at(writer.address)


def test_killed(program, shared_writer, run_base: Path) -> None:
    """Several trainers on its address go on with a successor: each row once, nothing left."""
    writer = shared_writer()
    bases = [run_base / str(number) for number in range(3)]
    trainers = [start_waiting(program, base, writer) for base in bases]
    writer.kill()
    wait_until(lambda: any(writers_of(trainer.pid) for trainer in trainers), "a successor")
    for trainer in trainers:
        go_on(trainer)
    for base in bases:
        run = run_yaml(only_run(base))
        assert ("FINISHED", 0) == (run["status"], run["rows_missing"])
        assert [0, 1, 2, 3, 4] == read_rows(only_run(base))["n"].to_pylist()
    wait_until(lambda: not segments_at(writer.address), "the end of the address")


def test_the_successor_ends_with_its_owner(program, shared_writer, run_base: Path) -> None:
    """A trainer whose successor serves all is killed: the others' runs go on, and are CRASHED
    only where the owner died."""
    writer = shared_writer()
    bases = [run_base / str(number) for number in range(3)]
    trainers = [start_waiting(program, base, writer) for base in bases]
    writer.kill()
    wait_until(lambda: any(writers_of(trainer.pid) for trainer in trainers), "a successor")
    chosen = next(number for number, one in enumerate(trainers) if writers_of(one.pid))
    for found in writers_of(trainers[chosen].pid):
        os.kill(found.pid, signal.SIGKILL)
    trainers[chosen].kill()
    for number, trainer in enumerate(trainers):
        if number != chosen:
            go_on(trainer)
            assert "FINISHED" == run_yaml(only_run(bases[number]))["status"]
            rows = read_rows(only_run(bases[number]))
            assert [0, 1, 2, 3, 4] == rows["n"].to_pylist()
    assert "CRASHED" == wait_for_end(only_run(bases[chosen]))["status"]
    assert [0, 1, 2] == read_rows(only_run(bases[chosen]))["n"].to_pylist()
    wait_until(lambda: not segments_at(writer.address), "the end of the address")


# -- where it may be ----------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.parametrize("who_ends", ["trainer closes", "trainer is killed"])
def test_container_sidecar(program, run_base: Path, tmp_path: Path, who_ends: str) -> None:
    """Trainer and writer in PID and mount namespaces of their own meet through a ready file."""
    ready = tmp_path / "ready"
    unshare = ["--pid", "--fork", "--mount", "--mount-proc", "--kill-child=SIGKILL", sys.executable]
    writer = program([*unshare, "-m", "expman.writer"], "--ready-file", ready, python="unshare")
    address = writer.read_line().partition("=")[2]
    wait_until(ready.exists, "the ready file")
    trainer = program(
        [*unshare, str(PROGRAMS / "log_and_wait.py")],
        run_base,
        env={"EXPMAN_WRITER": str(ready)},
        python="unshare",
    )
    trainer.read_line()
    trainer.send_line("log 3")
    trainer.expect_line("logged")
    wait_until(lambda: run_yaml(only_run(run_base)).get("rows_written") == 3, "rows in the files")
    if who_ends == "trainer closes":
        trainer.send_line("close")
        trainer.expect_line("closed")
        assert "FINISHED" == run_yaml(only_run(run_base))["status"]
    else:
        trainer.kill()
        assert "CRASHED" == wait_for_end(only_run(run_base))["status"]
    assert "" == trainer.stderr
    assert [0, 1, 2] == read_rows(only_run(run_base))["n"].to_pylist()
    # The writer is process 1 of its namespace: its handler is what makes SIGTERM reach it.
    (inner,) = Path(f"/proc/{writer.pid}/task/{writer.pid}/children").read_text().split()
    os.kill(int(inner), signal.SIGTERM)
    writer.succeed()
    assert [] == segments_at(address)
    assert not ready.exists()


@pytest.mark.root
def test_another_user_cannot_join_read_or_stop(program, shared_writer, run_base: Path) -> None:
    """Whatever another user tries with the address in hand is refused."""
    writer = shared_writer()
    trainer = start_waiting(program, run_base, writer)
    lane = min(segments_at(writer.address)[1:], key=len).split("-")[2]
    tries = program("intrude_as_other_user.py", f"{writer.address}#{lane}", writer.pid, 65534)
    answers = dict(line.split() for line in tries.succeed().splitlines())
    denied = dict.fromkeys(("read", "write", "remove", "stop"), "PermissionError")
    assert {"attach": "SharedMemoryError", **denied} == answers
    trainer.send_line("close")
    trainer.expect_line("closed")
    assert "FINISHED" == run_yaml(only_run(run_base))["status"]
