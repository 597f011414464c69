"""Names that others remove, descriptors that run out or are closed, names that others take."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from process.faulty import Obeying, check_finished, read_raw
from process.runs import run_yaml, wait_for_end, wait_until, writer_of

from expman.transport.recovery_lock import take_recovery_lock


def left_of(token: str) -> list[str]:
    return [name for name in os.listdir("/dev/shm") if token in name]


def remove_names(token: str) -> None:
    """What systemd-logind does at the end of a user's last session."""
    names = left_of(token)
    assert len(names) >= 4
    for name in names:
        os.unlink(f"/dev/shm/{name}")


@pytest.mark.parametrize("then", ["go on", "kill the writer", "kill the trainer"])
def test_names_removed(program, run_base: Path, then: str) -> None:
    """All rows are in the files, and the user hears of it once."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open("run")
    trainer("log 100")
    trainer("flush 120")
    writer = writer_of(trainer.process.pid)

    remove_names(writer.token)
    if then == "kill the writer":
        os.kill(writer.pid, signal.SIGKILL)
    trainer("log 30000")

    if then == "kill the trainer":
        trainer.process.kill()
        run = check_finished(run_dir, 30_100, "CRASHED")
    else:
        if then == "go on":  # it is noticed soon, not at once
            wait_until(lambda: trainer("state")["warnings"], "the warning")
        trainer("close 120")
        run = check_finished(run_dir, 30_100)
    assert int(then == "kill the writer") == run["writer_restarts"]
    if then == "go on":
        (warning,) = trainer("state")["warnings"]
        assert "were removed by somebody else" in warning
        assert "were removed by somebody else" in (run_dir / "run.log").read_text()
    wait_until(lambda: not left_of(writer.token), "no memory left")


def test_worker_after_names_were_removed(program, run_base: Path) -> None:
    """A worker that is forked later claims its lane under the same address, made anew."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open("run")
    trainer("log 100")
    trainer("flush 120")

    remove_names(writer_of(trainer.process.pid).token)
    trainer("fork 500")
    trainer("close 120")

    run = wait_for_end(run_dir)
    table = read_raw(run_dir)
    assert ("FINISHED", 600, 600) == (run["status"], run["rows_logged"], table.num_rows)
    assert {"main", "worker-0"} == set(table["_producer"].to_pylist())


def test_names_and_both_processes_gone(program, run_base: Path) -> None:
    """What was in no file is gone with the memory; the run does not claim to be complete."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open("run")
    trainer("log 100")
    trainer("flush 120")
    writer = writer_of(trainer.process.pid)

    remove_names(writer.token)
    os.kill(writer.pid, signal.SIGSTOP)
    trainer("log 1000")
    os.kill(trainer.process.pid, signal.SIGSTOP)
    os.kill(writer.pid, signal.SIGKILL)
    trainer.process.kill()
    for path in run_dir.iterdir():  # an hour passes
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3600))
    program(["-m", "expman.writer"], "recover", run_base, "--any-host").succeed()

    run = run_yaml(run_dir)
    assert "CRASHED" == run["status"]
    assert read_raw(run_dir).num_rows == run["rows_written"] >= 100


@pytest.mark.parametrize("what", ["closed", "none left"])
def test_descriptors_of_the_trainer(program, run_base: Path, what: str) -> None:
    """Files that the program opened get nothing of ours, and log calls do not raise."""
    answer = json.loads(program("lose_descriptors.py", run_base, what).succeed())

    assert {"closed": [], "moved": []} == {key: answer[key] for key in ("closed", "moved")}
    run_dir = run_base / "faults" / "run"
    run = wait_for_end(run_dir)
    assert ("FINISHED", answer["rows"]) == (run["status"], run["rows_written"])
    assert list(range(answer["rows"])) == read_raw(run_dir)["n"].to_pylist()


def test_writer_without_descriptors(program, run_base: Path) -> None:
    """Lanes that it cannot open for now are opened later; the run does not end before."""
    answer = json.loads(program("lose_descriptors.py", run_base, "writer").succeed())

    table = read_raw(run_base / "faults" / "run")
    assert set(range(-1, answer["workers"])) == set(table["n"].to_pylist())
    assert 0 == run_yaml(run_base / "faults" / "run")["rows_missing"]


def test_workers_without_descriptors(program, run_base: Path) -> None:
    """What they drop is counted, whether they get a lane later or never."""
    program("lose_descriptors.py", run_base, "workers").succeed()

    run_dir = run_base / "faults" / "run"
    run = run_yaml(run_dir)
    assert 2 == read_raw(run_dir).num_rows == run["rows_written"]
    assert run["rows_dropped"] >= 300
    assert run["rows_logged"] == run["rows_written"] + run["rows_dropped"]
    log = (run_dir / "run.log").read_text()
    assert "200 rows of workers dropped: they had no descriptor" in log


def test_a_stopped_run_whose_names_were_removed(program, run_base: Path) -> None:
    """A stopped process still has the memory: no recovery takes its run for dead."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open("run")
    trainer("log 100")
    trainer("flush 120")
    writer = writer_of(trainer.process.pid)
    pids = (writer.pid, trainer.process.pid)

    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        remove_names(writer.token)
        os.utime(run_dir / "run.yaml", (0, 0))  # it has been silent for long
        for flags in ([], ["--any-host"]):
            program(["-m", "expman.writer"], "recover", run_base, *flags).succeed()
            assert "RUNNING" == run_yaml(run_dir)["status"]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    trainer("log 100")
    trainer("close 120")
    check_finished(run_dir, 200)
    assert "CRASHED" not in (run_dir / "run.log").read_text()


def test_a_pipe_as_ready_file(program, run_base: Path, tmp_path: Path) -> None:
    """A pipe where the ready file should be stops no trainer."""
    os.mkfifo(tmp_path / "ready")
    trainer = Obeying(program, run_base, env={"EXPMAN_WRITER": str(tmp_path / "ready")})
    run_dir = trainer.open("run")
    trainer("log 10")
    trainer("close 120")
    check_finished(run_dir, 10)
    (warning,) = trainer("state")["warnings"]
    assert "not a plain file" in warning


@pytest.mark.root
def test_names_that_another_user_takes(program, run_base: Path) -> None:
    """The names to come cannot be read from those that there are."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open("run")
    trainer("log 10")
    token = writer_of(trainer.process.pid).token
    lane = min((n for n in os.listdir("/dev/shm") if f"{token}-" in n), key=len)
    planted = [Path("/dev/shm", name) for name in (f"expman-{token}-1", f"{lane}-0", f"{lane}-1")]
    for path in planted:
        path.write_bytes(bytes(8192))
        os.chown(path, 65534, 65534)
    try:
        trainer("fork 500")
        trainer("log 30000")
        trainer("close 120")
    finally:
        for path in planted:
            path.unlink()
    run = wait_for_end(run_dir)
    assert ("FINISHED", 30_510) == (run["status"], run["rows_written"])
    wait_until(lambda: not left_of(token), "no memory left")


def test_one_recovery_at_a_time(tmp_path: Path) -> None:
    """The second one sees the first; its name cannot be guessed, so nobody else can take it."""
    first = take_recovery_lock(str(tmp_path))
    assert first is not None
    assert take_recovery_lock(str(tmp_path)) is None
    first.unlink()
    first.close()
