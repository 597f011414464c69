"""Trainer and writer both killed: what is in shared memory is recovered, once, by whoever comes."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from process.ledger import Ledger
from process.runs import (
    is_running,
    kill_writers,
    run_yaml,
    segments_of,
    serving,
    wait_for_end,
    wait_until,
    writer_of,
)

from expman.transport import segment

ROWS = 6000
TWO_RUNS = """
import sys
from expman import ExperimentConfig, LoggingEngine

engines = [LoggingEngine(ExperimentConfig("e", base, run_name="r")) for base in sys.argv[1:]]
for engine in engines:
    engine.log_vector({"n": 0}, 0)
    engine.flush()
    print(engine.run_dir)
sys.stdin.readline()
for engine in engines:
    for n in range(1, 100):
        engine.log_vector({"n": n}, n)
print("logged")
sys.stdin.readline()
"""


@pytest.fixture
def killed(program, tmp_path: Path, run_base: Path):  # type: ignore[no-untyped-def]
    """A function that kills a trainer and its writer in some order; ledger, run and writer."""

    def kill(order: str, **options: object):  # type: ignore[no-untyped-def]
        ledger = Ledger(tmp_path / "ledger")
        trainer = program(
            "log_for_ledger.py", ledger.options(run_base, rows=ROWS, end="wait", **options)
        )
        run_dir = Path(trainer.read_line())
        writer = writer_of(trainer.pid)
        if order == "stopped writer first":
            wait_until(lambda: serving(writer), "a writer that serves")
            os.kill(writer.pid, signal.SIGSTOP)
        trainer.expect_line("waits")
        if order == "writer first":
            os.kill(writer.pid, signal.SIGKILL)
        trainer.kill()
        if order == "stopped writer first":
            recovery = program(["-m", "expman.writer", "recover", str(run_base)])
            assert "" == recovery.succeed()  # it is the stopped writer's, which lives
        kill_writers(writer.token, writer.pid)
        assert "RUNNING" == run_yaml(run_dir)["status"]
        assert [] != segments_of(writer)
        return ledger, run_dir, writer

    return kill


def recover(program, run_base: Path, *options: str):  # type: ignore[no-untyped-def]
    return program(["-m", "expman.writer", "recover", *options, str(run_base)])


@pytest.mark.parametrize("order", ["trainer first", "writer first", "stopped writer first"])
def test_recover(program, killed, run_base: Path, order: str) -> None:
    """`expman-writer recover` gives all rows and CRASHED; once more it finds nothing to do."""
    ledger, run_dir, writer = killed(order, worker=True)
    said = recover(program, run_base).succeed()
    assert f"recovered {run_dir}: CRASHED, {ROWS + 2000:,} rows\n" == said
    run = ledger.check(run_dir, "CRASHED")
    assert "ended without closing the run" in run["reason"]
    assert [] == segments_of(writer)
    before = contents(run_base)
    assert "" == recover(program, run_base).succeed()
    assert before == contents(run_base)


def test_dry_run_changes_nothing(program, killed, run_base: Path) -> None:
    """`--dry-run` lists the run, and leaves files and shared memory as they are."""
    ledger, run_dir, writer = killed("trainer first")
    before = contents(run_base), memory(writer.token)
    said = recover(program, run_base, "--dry-run").succeed()
    assert f"would recover {run_dir} from shared memory\n" == said
    assert before == (contents(run_base), memory(writer.token))
    recover(program, run_base).succeed()
    ledger.check(run_dir, "CRASHED")


def test_two_recoveries_at_once(program, killed, run_base: Path) -> None:
    """Three at once: one of them does it, the others do no harm."""
    ledger, run_dir, writer = killed("trainer first")
    several = [recover(program, run_base) for _ in range(3)]
    said = "".join(one.succeed() for one in several)
    assert 1 == said.count(f"recovered {run_dir}:"), said
    ledger.check(run_dir, "CRASHED")
    assert [] == segments_of(writer)


def test_recovery_that_is_killed(program, killed, run_base: Path) -> None:
    """A recovery that is killed in the middle is done by the next one."""
    ledger, run_dir, writer = killed("trainer first")
    first = program(
        ["-m", "expman.writer", "recover", str(run_base)],
        env={"EXPMAN_FAILPOINTS": "commit-before-release=kill"},
    )
    assert -signal.SIGKILL == first.wait()
    recover(program, run_base).succeed()
    ledger.check(run_dir, "CRASHED")
    assert [] == segments_of(writer)


def test_writer_killed_at_its_very_end(program, tmp_path: Path, run_base: Path) -> None:
    """Of a killed trainer whose writer is killed too late for the run: the address is removed."""
    ledger = Ledger(tmp_path / "ledger")
    trainer = program(
        "log_for_ledger.py",
        ledger.options(run_base, rows=1000, end="wait"),
        env={"EXPMAN_FAILPOINTS": "address-before-remove=kill"},
    )
    run_dir = Path(trainer.read_line())
    writer = writer_of(trainer.pid)
    trainer.expect_line("waits")
    trainer.kill()
    wait_until(lambda: not is_running(writer.pid), "the end of the writer")
    ledger.check(run_dir, "CRASHED")
    assert [f"expman-{writer.token}"] == segments_of(writer)
    assert "" == recover(program, run_base).succeed()
    assert [] == segments_of(writer)


def test_next_engine_recovers(program, killed, tmp_path: Path, run_base: Path) -> None:
    """The next run in that base directory has the stale one recovered."""
    ledger, run_dir, writer = killed("trainer first")
    program("log_and_wait.py", run_base)
    wait_for_end(run_dir)
    wait_until(lambda: not segments_of(writer), "the release of the shared memory")
    ledger.check(run_dir, "CRASHED")


def test_standing_writer_recovers(program, killed, run_base: Path) -> None:
    """A standing writer with --base-dir recovers stale runs, and goes on serving its address."""
    ledger, run_dir, writer = killed("trainer first")
    standing = program(["-m", "expman.writer", "--base-dir", str(run_base)])
    address = segment.Address.parse(standing.read_line().removeprefix("EXPMAN_WRITER="))
    wait_until(lambda: not segments_of(writer), "the release of the shared memory")
    ledger.check(run_dir, "CRASHED")
    base = segment.attach(address.place, address.segment())
    assert base.is_locked()
    base.close()
    standing.send_signal(signal.SIGTERM)
    standing.succeed()


def test_next_engines_writer_stays_alive(program, killed, run_base: Path) -> None:
    """The look for stale runs costs the looking writer nothing: it still counts as alive."""
    _, run_dir, _ = killed("trainer first")
    trainer = program("log_and_wait.py", run_base)
    trainer.read_line()
    wait_for_end(run_dir)
    base = segment.attach("shm", f"expman-{writer_of(trainer.pid).token}")
    assert base.is_locked()
    base.close()
    trainer.close_stdin()
    trainer.succeed()


def contents(base: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(base.rglob("*"))
        if path.is_file()
    }


def memory(token: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path("/dev/shm").glob(f"expman-{token}*")}


def test_base_directory_that_is_gone(program, killed, run_base: Path) -> None:
    """Rows wait for it: it may be a mount that is away. Made anew, it gets all of them."""
    _, run_dir, writer = killed("trainer first", others=False)
    shutil.rmtree(run_base)
    recovery = recover(program, run_base)
    assert 1 == recovery.wait()
    assert f"the directory {run_base} does not exist; mount it, or make it" in recovery.stderr
    run_base.mkdir()
    assert f"recovered {run_dir}" in recover(program, run_base).succeed()
    run = wait_for_end(run_dir)
    assert ("CRASHED", ROWS) == (run["status"], run["rows_logged"])
    assert run["rows_written"] + run["rows_missing"] == ROWS
    assert [] == segments_of(writer)


@pytest.mark.parametrize("gone", [False, True])
def test_discard(program, killed, run_base: Path, gone: bool) -> None:
    """The user gives up what is in memory; what is in files stays and gets its status."""
    _, run_dir, writer = killed("trainer first")
    if gone:
        shutil.rmtree(run_base)
    said = recover(program, run_base, "--dry-run", "--discard").succeed()
    assert f"would discard {run_dir} from shared memory\n" == said
    assert segments_of(writer)
    said = recover(program, run_base, "--discard").succeed()
    assert f"discarded {run_dir} from shared memory\n" in said
    assert [] == segments_of(writer)
    if not gone:
        run = wait_for_end(run_dir)
        assert ("CRASHED", True) == (run["status"], "was discarded" in run["reason"])
    assert "" == recover(program, run_base).succeed()


def test_one_run_of_a_shared_writer_that_cannot_be_written(program, run_base: Path) -> None:
    """It is named and waits in memory; the other one of the same address is recovered."""
    standing = program(["-m", "expman.writer"])
    env = dict([standing.read_line().split("=", 1)])
    trainer = program(["-c", TWO_RUNS], run_base, run_base.parent / "other", env=env)
    first, second = Path(trainer.read_line()), Path(trainer.read_line())
    standing.send_signal(signal.SIGSTOP)
    trainer.send_line()
    trainer.expect_line("logged")
    trainer.kill()
    standing.kill()
    shutil.rmtree(second.parent)
    second.parent.touch()  # no directory can be made there
    recovery = recover(program, run_base)
    assert 1 == recovery.wait()
    assert f"recovered {first}: CRASHED, 100 rows\n" == recovery.stdout
    assert f"cannot recover {second}: " in recovery.stderr
    second.parent.unlink()
    assert f"recovered {second}: CRASHED" in recover(program, run_base.parent / "other").succeed()


def test_a_change_that_a_page_has_asked_for_is_recovered(killed, program, run_base: Path) -> None:  # type: ignore[no-untyped-def]
    """Nobody was there to take it; whoever finishes the run does, and leaves nothing behind."""
    _, run_dir, _ = killed("trainer first")
    (run_dir / ".edit.json").write_text('{"description": "asked", "tags": ["a"]}')
    (run_dir / ".edit-taken.json").write_text('{"description": "before", "tags": ["b"]}')

    program(["-m", "expman.writer", "recover", str(run_base)]).succeed()

    found = run_yaml(run_dir)
    assert ("CRASHED", "asked", ["a"]) == (found["status"], found["description"], found["tags"])
    assert [] == [name for name in os.listdir(run_dir) if "edit" in name]
