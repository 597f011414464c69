"""The run's directory is not where it belongs, for a while: rows wait, and nothing is lost."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from process.faulty import Obeying, check_finished, check_more
from process.runs import wait_for_end, wait_until, writer_of


def wait_for_trouble(trainer: Obeying, *words: str) -> None:
    """flush() does not return well, and soon it says why."""

    def told() -> bool:
        error = trainer.try_("flush 0.3")["error"]
        assert error is not None
        return all(word in error for word in ("FlushError", "shared memory", *words))

    wait_until(told, f"an error with {words}")


@pytest.mark.parametrize("level", ["base", "experiment", "run"])
def test_renamed_directory(program, run_base: Path, level: str):
    """A directory that was renamed is not followed; flush() says where it is now."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open()
    trainer("more 10")
    trainer("flush 120")
    renamed = {"base": run_base, "experiment": run_dir.parent, "run": run_dir}[level]
    aside = renamed.rename(renamed.with_name("aside"))
    trainer("more 10")
    wait_for_trouble(trainer, "No such file", str(aside), "move it back")
    assert not renamed.exists()
    trainer.try_("close 0.3")
    aside.rename(renamed)
    check_finished(run_dir, 20)
    check_more(run_dir, [10, 20])


def test_replaced_directory(program, run_base: Path):
    """Another run's directory at our path is not written into, however full our own is."""
    trainer = Obeying(program, run_base)
    other = trainer.open("other")
    trainer("more 10")
    trainer("close 120")
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    run_dir = trainer.open()
    trainer("more 10")
    trainer("flush 120")
    aside = run_dir.rename(run_base / "aside")
    other.rename(run_dir)
    trainer("log 10")
    wait_for_trouble(trainer, "another directory is at this path", str(aside))
    run_dir.rename(other)
    assert before == {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    aside.rename(run_dir)
    trainer("close 120")
    check_finished(run_dir, 20)


def test_deleted_and_replaced_directory(program, run_base: Path):
    """Also where ours was deleted: a new one is made when the other one is gone."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open()
    trainer("log 10")
    trainer("flush 120")
    shutil.rmtree(run_dir)
    run_dir.mkdir()
    trainer("log 10")
    wait_for_trouble(trainer, "another directory is at this path")
    assert [] == list(run_dir.iterdir())
    run_dir.rmdir()
    trainer.try_("close 120")
    wait_until((run_dir / "run.yaml").exists, "a new directory")
    run = wait_for_end(run_dir)
    assert ("FINISHED", 10, 10) == (run["status"], run["rows_written"], run["rows_missing"])


@contextmanager
def bound(real: Path, point: Path) -> Iterator[None]:
    subprocess.run(["mount", "--bind", real, point], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", point], check=True)


@pytest.mark.root
@pytest.mark.parametrize("idle", [True, False])
def test_lost_mount(program, tmp_path: Path, idle: bool):
    """A mount that is lost and comes back, before a flush or behind one."""
    real, base = tmp_path / "real", tmp_path / "experiments"
    real.mkdir()
    base.mkdir()
    with bound(real, base):
        trainer = Obeying(program, base)
        run_dir = trainer.open()
        trainer("more 10")
        trainer("flush 120")
    if not idle:
        trainer("more 10")
        wait_for_trouble(trainer, "is not mounted now")
    assert [] == list(base.iterdir())
    with bound(real, base):
        trainer("more 10")
        trainer("close 120")
        numbers = [10, 20] if idle else [10, 20, 30]
        check_finished(run_dir, numbers[-1])
        check_more(run_dir, numbers)
        trainer.process.close_stdin()
        trainer.process.succeed()


def test_no_descriptors(program, run_base: Path):
    """A writer that can open nothing for a while: rows wait, nothing counts as removed."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open()
    trainer("more 10")
    trainer("flush 120")
    writer = writer_of(trainer.process.pid)
    soft, hard = resource.prlimit(writer.pid, resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir(f"/proc/{writer.pid}/fd"))
    for more in range(4):
        resource.prlimit(writer.pid, resource.RLIMIT_NOFILE, (used - more, hard))
        trainer("more 10")
        trainer.try_("flush 0.3")
    wait_for_trouble(trainer, "Too many open files")
    resource.prlimit(writer.pid, resource.RLIMIT_NOFILE, (soft, hard))
    trainer("close 120")
    assert 0 == check_finished(run_dir, 50)["writer_restarts"]
    check_more(run_dir, [10, 20, 30, 40, 50])


def test_successor_in_a_replaced_directory(program, run_base: Path):
    """A writer that is started meanwhile does not take the files of another run for its own."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open()
    trainer("more 10")
    trainer("flush 120")
    second = Obeying(program, run_base)
    other = second.open("other")
    second("more 10")
    second("close 120")
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    aside = run_dir.rename(run_base / "aside")
    other.rename(run_dir)
    os.kill(writer_of(trainer.process.pid).pid, signal.SIGKILL)
    trainer("log 10")
    wait_for_trouble(trainer, "files of another run (faults/other")
    run_dir.rename(other)
    assert before == {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    aside.rename(run_dir)
    trainer("close 120")
    assert 1 == check_finished(run_dir, 20)["writer_restarts"]
