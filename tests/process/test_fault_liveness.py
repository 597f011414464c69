"""Who lives is judged right, whatever pids, namespaces, clocks and other users do."""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from process.faulty import Obeying, check_finished, read_raw
from process.runs import read_rows, run_yaml, wait_for_end, wait_until, writer_of

PROGRAMS = Path(__file__).parents[1] / "programs"
NOBODY = 65534
DAY_S = 86_400
UNREAPING = """
import subprocess, sys
child = subprocess.Popen([sys.executable, *sys.argv[1:]])
print(child.pid, flush=True)
sys.stdin.readline()
"""
KILLED = """
import os, signal, sys, expman
run = expman.Experiment("faults", "run", sys.argv[1])
for n in range(100):
    run.log_vector({"n": n, "half": n / 2}, n)
run.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
CLOSES_ALL = """\
import os, sys
from expman import ExperimentConfig, LoggingEngine
engine = LoggingEngine(ExperimentConfig("closes", sys.argv[1]))
engine.log_vector({"n": 0}, 0)
engine.flush()
os.closerange(3, 256)
print(engine.run_dir, flush=True)
sys.stdin.readline()
engine.log_vector({"n": 1}, 1)
engine.close()
"""


def start_writer(program, **options) -> tuple[object, dict[str, str]]:
    """A standalone writer, and the environment of trainers that use it."""
    writer = program(["-m", "expman.writer"], **options)
    name, _, address = writer.read_line().partition("=")
    return writer, {name: address}


def end_writer(writer) -> None:
    writer.send_signal(signal.SIGTERM)
    writer.succeed()


def test_zombie(program, run_base: Path):
    """A killed owner that nobody reaps is dead all the same."""
    parent = program(["-c", UNREAPING, "-c", KILLED, str(run_base)])
    pid = int(parent.read_line())
    run_dir = run_base / "faults" / "run"
    wait_until((run_dir / "run.yaml").exists, "the run")
    check_finished(run_dir, 100, "CRASHED")
    assert ") Z " in Path(f"/proc/{pid}/stat").read_text()
    parent.send_line()
    parent.succeed()


@pytest.mark.root
def test_reused_pid(program, run_base: Path):
    """An owner whose pid another process has by now is dead."""
    command = ["--pid", "--fork", "--mount-proc", "--kill-child", sys.executable]
    script = PROGRAMS / "reuse_pid.py"
    program([*command, str(script)], run_base, python="unshare").succeed()
    check_finished(run_base / "pids" / "run", 100, "CRASHED")


@pytest.mark.root
def test_owner_in_another_pid_namespace(program, program_env, run_base: Path):
    """Neither a writer nor `recover` in another PID namespace takes a living owner for dead."""
    writer, env = start_writer(program)
    command = ["--pid", "--fork", "--kill-child", sys.executable, str(PROGRAMS / "obey.py")]
    trainer = Obeying.__new__(Obeying)
    trainer.base, trainer.process = run_base, program(command, run_base, python="unshare", env=env)
    run_dir = trainer.open()
    trainer("log 100")
    trainer("flush 120")
    recover = [sys.executable, "-m", "expman.writer", "recover", str(run_base)]
    for prefix in ([], ["unshare", "--pid", "--fork"]):
        found = subprocess.run([*prefix, *recover], env=program_env, capture_output=True, text=True)
        assert (0, "", "") == (found.returncode, found.stdout, found.stderr)
    time.sleep(0.5)  # some looks at who lives
    trainer("log 100")
    trainer("flush 120")
    assert "RUNNING" == run_yaml(run_dir)["status"]
    trainer.process.kill()
    check_finished(run_dir, 200, "CRASHED")
    end_writer(writer)


@pytest.mark.parametrize("hours", [-30, 30])
def test_clock_set(program, run_base: Path, tmp_path: Path, hours: int):
    """The clocks of the trainer and of the writer are set: order, recovery and durations hold."""
    skews = {}
    for who in ("trainer", "writer"):
        skews[who] = tmp_path / f"{who}.skew"
        skews[who].write_text("0")
    path = str(PROGRAMS / "skewed")
    options = {who: {"PYTHONPATH": path, "SKEW_FILE": str(skews[who])} for who in skews}
    writer, env = start_writer(program, env=options["writer"])
    trainer = Obeying(program, run_base, env={**options["trainer"], **env})
    run_dir = trainer.open()
    trainer("more 100")
    trainer("flush 120")
    skews["trainer"].write_text(str(hours * 3600))
    trainer("more 100")
    trainer("flush 120")
    skews["writer"].write_text(str(hours * 3600))
    trainer("more 100")
    writer.kill()  # a successor, whose clock is right, recovers from files and memory
    trainer("more 100")
    trainer("close 120")
    run = check_finished(run_dir, 400)
    assert 0 <= run["duration_secs"] < 60
    seconds = read_raw(run_dir)["timestamp"].cast("int64").to_numpy() / 1e6
    assert abs((seconds[399] - seconds[0]) / 3600 - hours) < 1

    trainer.open("killed")
    trainer("log 50")
    trainer("flush 120")
    trainer.process.kill()
    run = check_finished(run_base / "faults" / "killed", 50, "CRASHED")
    assert 0 <= run["duration_secs"] < 60


def test_recovered_long_after(program, run_base: Path, tmp_path: Path):
    """A run that is recovered a day after its death ended then, not when it is recovered."""
    skew = tmp_path / "skew"
    skew.write_text(str(-DAY_S))
    options = {"PYTHONPATH": str(PROGRAMS / "skewed"), "SKEW_FILE": str(skew)}
    writer, env = start_writer(program, env=options)
    trainer = Obeying(program, run_base, env={**options, **env})
    run_dir = trainer.open()
    trainer("log 50")
    trainer("flush 120")
    writer.send_signal(signal.SIGSTOP)
    trainer("log 50")
    trainer.process.kill()
    writer.kill()
    latest_s = time.time()
    recovery = program(["-m", "expman.writer", "recover", str(run_base)])
    assert f"recovered {run_dir}: CRASHED, 100 rows\n" == recovery.succeed()
    run = check_finished(run_dir, 100, "CRASHED")
    finished_s = datetime.datetime.fromisoformat(run["finished_at"]).timestamp()
    last_row_s = read_raw(run_dir)["timestamp"].cast("int64")[99].as_py() / 1e6
    assert last_row_s - 0.001 <= finished_s <= latest_s - DAY_S
    assert 0 <= run["duration_secs"] < 120


@pytest.mark.root
def test_another_user(program, run_base: Path, tmp_path: Path):
    """Another user cannot attach, read, remove, stop or recover a run, nor plant one of his own."""
    outside = tmp_path / "outside"
    for shared in (False, True):
        standing, env = start_writer(program) if shared else (None, {})
        trainer = Obeying(program, run_base, env=env)
        run_dir = trainer.open(f"shared-{shared}")
        trainer("log 10")
        trainer("flush 120")
        writer_pid = standing.pid if shared else writer_of(trainer.process.pid).pid
        address = trainer("address")["text"]
        intruder = program(
            "intrude.py", NOBODY, address, writer_pid, trainer.process.pid, run_base, outside
        )
        found = json.loads(intruder.succeed())
        planted = Path(intruder.stderr.splitlines()[-1])
        try:
            denied = ("attach", "read", "remove", "stop the writer", "stop the trainer")
            for what in denied:
                assert "ermission" in found[what] or "not permitted" in found[what], found
            assert "done: None" == found["use the writer"]  # with a warning
            assert "done: []" == found["recover"]
            assert "done: None" == found["plant"]
            trainer("fork 10")  # a worker of our own passes by the planted lane
            trainer("close 120")
            run = wait_for_end(run_dir)
            assert ("FINISHED", 20) == (run["status"], run["rows_written"])
            assert 20 == read_raw(run_dir).num_rows
            assert not outside.exists()
            assert NOBODY == planted.stat().st_uid  # and still there: it was not taken away
            assert [] == trainer("state")["warnings"]  # what another user plants is no news
            if shared:
                end_writer(standing)
        finally:
            os.unlink(planted)


def test_trainer_that_closes_descriptors_it_does_not_know_lives(program, run_base: Path) -> None:
    """With the descriptor the lock goes, and the lane is still mapped by the living process."""
    trainer = program(["-c", CLOSES_ALL], run_base)
    run_dir = Path(trainer.read_line())
    time.sleep(0.5)  # several looks at who lives
    assert "RUNNING" == run_yaml(run_dir)["status"]
    trainer.send_line()
    trainer.succeed()
    assert "FINISHED" == run_yaml(run_dir)["status"]
    assert [0, 1] == read_rows(run_dir)["n"].to_pylist()
