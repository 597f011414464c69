"""Samples of the machine and the provenance of real runs, whose processes are killed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import PROGRAMS
from process.faulty import Obeying
from process.runs import kill_writers, only_run, run_yaml, wait_until, writer_of

from expman import Run
from expman.storage.provenance import PENDING
from expman.writer.recover import recover

OBSERVED = {"EXPMAN_SYSTEM_METRICS_INTERVAL_SECS": "1", "EXPMAN_CAPTURE_PROVENANCE": "yes"}

PATIENT = "; ".join(
    f"from expman.writer.samplers import {module}; {module}.{kind}.awaited_s = 100"
    for module, kind in (("machine", "MachineSampler"), ("provenance", "ProvenanceSampler"))
)
"""For a writer: a busy machine may take longer for a sample than the end of a run waits for it."""


def samples(run_dir: Path) -> list[int]:
    return Run(run_dir).system(["step"])["step"].to_pylist()  # type: ignore[no-any-return]


def check_samples(run_dir: Path, least: int) -> None:
    """All are in system.parquet once, with their numbers, and are those of the trainer."""
    assert [] == list(run_dir.glob("system-*.arrow"))
    table = pq.read_table(run_dir / "system.parquet")
    assert list(range(table.num_rows)) == table["step"].to_pylist() == table["_seq"].to_pylist()
    assert table.num_rows >= least
    assert 0 == table["proc.rss_gb"].null_count
    assert {1.0} == set(table["tree.processes"].to_pylist()), "the writer counts"


@pytest.mark.parametrize("point", [None, "tail-half-appended", "parquet-after-rename"])
def test_samples_survive_a_writer_that_is_killed(
    program, tmp_path: Path, run_base: Path, point: str | None
) -> None:
    """Anywhere, also within an append and a rewrite: none that was written is lost, none twice."""
    armed = tmp_path / "armed"
    armed.touch()
    faults = {} if point is None else {"EXPMAN_FAILPOINTS": f"{point}=kill:{armed}"}
    trainer = Obeying(program, run_base, env=OBSERVED | faults)
    run_dir = trainer.open()
    if point is None:
        wait_until(lambda: len(samples(run_dir)) >= 2, "two samples")
        os.kill(writer_of(trainer.process.pid).pid, signal.SIGKILL)
    else:
        wait_until(lambda: not armed.exists(), "the kill")
    before = len(samples(run_dir))
    wait_until(lambda: len(samples(run_dir)) >= before + 2, "a sample of its successor")
    trainer("log 5")
    trainer("close 60")
    check_samples(run_dir, before + 2)
    assert 1 == run_yaml(run_dir)["writer_restarts"]
    provenance = Run(run_dir).provenance
    assert "obey.py" in str(provenance["command"])
    assert PENDING not in provenance.get("notes", ())  # type: ignore[operator]


def test_samples_are_recovered(program, run_base: Path) -> None:
    """Trainer and writer are killed: recovery brings the samples from the tail into the file."""
    trainer = Obeying(program, run_base, env=OBSERVED)
    run_dir = trainer.open()
    wait_until(lambda: len(samples(run_dir)) >= 2, "two samples")
    writer = writer_of(trainer.process.pid)
    os.kill(writer.pid, signal.SIGSTOP)  # it shall not end the run
    trainer.process.kill()
    kill_writers(writer.token, writer.pid)
    list(recover(str(run_base)))
    assert "CRASHED" == run_yaml(run_dir)["status"]
    check_samples(run_dir, 2)


def test_a_run_of_a_moment(program, shared_writer, run_base: Path) -> None:
    """Its provenance is there, and one sample: the end waits for them."""
    trainer = Obeying(program, run_base, env=OBSERVED | shared_writer(first=PATIENT).env)
    run_dir = trainer.open()
    trainer("close 60")
    check_samples(run_dir, 1)
    provenance = Run(run_dir).provenance
    assert "obey.py" in str(provenance["command"])
    assert str(Path.cwd()) != provenance["cwd"] == os.path.realpath(str(provenance["cwd"]))
    assert "pyarrow" in provenance["packages"]  # type: ignore[operator]


@pytest.mark.root
def test_a_trainer_in_a_container(program, shared_writer, run_base: Path) -> None:
    """Its pid is another one there; a writer outside finds the right process all the same."""
    writer = shared_writer(first=PATIENT)
    inside = ["--pid", "--fork", "--mount", "--mount-proc", "--kill-child=SIGKILL", sys.executable]
    trainer = program(
        [*inside, str(PROGRAMS / "log_and_wait.py")],
        run_base,
        env=OBSERVED | writer.env,
        python="unshare",
    )
    trainer.read_line()
    trainer.send_line("log 3")
    trainer.expect_line("logged")
    trainer.send_line("close")
    trainer.expect_line("closed")
    run_dir = only_run(run_base)
    check_samples(run_dir, 1)
    assert "log_and_wait.py" in str(Run(run_dir).provenance["command"])


def test_git_hangs_for_ever(program, tmp_path: Path, run_base: Path) -> None:
    """The run ends all the same, soon, and says that git has not answered."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "git").write_text("#!/bin/sh\nexec sleep 600\n")
    (programs / "git").chmod(0o755)
    path = {"PATH": f"{programs}:{os.environ['PATH']}"}
    trainer = Obeying(program, run_base, env=OBSERVED | path)
    run_dir = trainer.open()
    trainer("log 5")
    trainer("close 60")
    assert [PENDING] == Run(run_dir).provenance["notes"]
