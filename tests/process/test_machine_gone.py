"""The machine went: shared memory is gone, and files end anywhere behind their last fsync.

Simulated: everything is killed, shared memory is removed, and files are cut behind the size that
they had when flush() returned, some with zeros behind the cut, as file systems leave them.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path

import pytest
from process.ledger import Ledger, check_values, raw_rows
from process.runs import kill_writers, run_yaml, segments_of, wait_until, writer_of

from expman.models import Host, RunMetadata
from expman.storage.vectors import RowBlock, VectorStore
from expman.storage.yamlfile import RunFile
from expman.transport.identity import this_host
from expman.writer.recover import recover

SEED = 20_260_204
CUTS = 16
DURABLE, ROWS = 3000, 9000
STAY_IN_TAIL = "parquet-row-group=ENOSPC"
"""A rewrite of vectors.parquet would make all rows durable."""
LONG_AGO = 1_000_000_000


def age(run_dir: Path) -> None:
    """Makes run.yaml old: recovery leaves alone what may only just begin."""
    os.utime(run_dir / "run.yaml", (LONG_AGO, LONG_AGO))


def growing(run_dir: Path) -> dict[str, int]:
    """The sizes of the files that are appended to."""
    paths = [*run_dir.glob("vectors-*.arrow"), *run_dir.glob("run.log")]
    return {path.name: path.stat().st_size for path in paths}


def destroy(trainer, writer) -> None:  # type: ignore[no-untyped-def]
    os.kill(writer.pid, signal.SIGSTOP)
    trainer.kill()
    kill_writers(writer.token, writer.pid)
    for name in segments_of(writer):
        Path("/dev/shm", name).unlink()


def test_files_cut_anywhere(program, tmp_path: Path, run_base: Path) -> None:
    """Rows before a cut are readable, durable ones among them; recovery keeps them: CRASHED."""
    chance = random.Random(SEED)
    ledger = Ledger(tmp_path / "ledger")
    options = ledger.options(run_base, rows=ROWS, flush_at=DURABLE, end="wait")
    trainer = program("log_for_ledger.py", options, env={"EXPMAN_FAULTS": STAY_IN_TAIL})
    run_dir = Path(trainer.read_line())
    writer = writer_of(trainer.pid)
    trainer.expect_line(f"durable {DURABLE - 1} {DURABLE - 1}")
    durable = growing(run_dir)
    trainer.send_line()
    trainer.expect_line("waits")
    wait_until(lambda: raw_rows(run_dir).num_rows > 2 * DURABLE, "more rows in files")
    destroy(trainer, writer)
    shutil.rmtree(run_dir / ".artifacts-staging", ignore_errors=True)

    cut_rows = []
    for number in range(CUTS):
        base = tmp_path / f"cut-{number}"
        shutil.copytree(run_base, base)
        damaged = base / "faults" / "run"
        for name, size in growing(damaged).items():
            cut = chance.randint(durable.get(name, 0), size)
            zeros = chance.choice([0, 0, 1, 512, size - cut])
            os.truncate(damaged / name, cut)
            os.truncate(damaged / name, cut + zeros)
        age(damaged)
        check_values(raw_rows(damaged).slice(0, DURABLE))
        (said,) = recover(str(base))
        assert said.ok
        rows = raw_rows(damaged)
        # One of several tails may have lost its end: then there is a gap, but only behind.
        check_values(rows, gaps=True)
        check_values(rows.slice(0, DURABLE))
        assert rows.num_rows >= DURABLE
        run = run_yaml(damaged)
        assert "CRASHED" == run["status"]
        assert "its shared memory is gone" in run["reason"]
        assert rows.num_rows == run["rows_written"]
        assert run["rows_logged"] - rows.num_rows == run["rows_missing"] >= 0
        lines = (damaged / "run.log").read_text().splitlines()
        assert "run CRASHED: nobody ran it any more" in lines[-1]
        assert lines[-1].startswith("[")
        assert not [line for line in lines if "\0" in line]
        # What looks like wrong bytes, not like a torn write, is kept for a human.
        assert not [path for path in damaged.iterdir() if path.name.endswith(".arrow")]
        assert [] == list(recover(str(base)))
        cut_rows.append(rows.num_rows)
    print(f"{CUTS} cuts left {min(cut_rows)} to {max(cut_rows)} rows; {DURABLE} were durable")
    assert min(cut_rows) < max(cut_rows)


def test_durable_seq_is_never_ahead(program, tmp_path: Path, run_base: Path) -> None:
    """With a writer stopped right before an fsync, durable_seq is that of the fsync before.

    Cut to what was fsynced, the files hold exactly the rows up to it.
    """
    ledger = Ledger(tmp_path / "ledger")
    options = ledger.options(
        run_base, rows=2 * DURABLE, flush_at=DURABLE, flush_again=True, others=False, end="wait"
    )
    armed = tmp_path / "armed"
    faults = f"tail-sync=stop@1:{armed},{STAY_IN_TAIL}"
    trainer = program("log_for_ledger.py", options, env={"EXPMAN_FAULTS": faults})
    run_dir = Path(trainer.read_line())
    writer = writer_of(trainer.pid)
    trainer.expect_line(f"durable {DURABLE - 1} {DURABLE - 1}")
    durable = growing(run_dir)
    armed.touch()
    trainer.send_line()
    # flush() gave up: the rows are appended, and not one more counts as durable.
    trainer.expect_line(f"not durable {DURABLE - 1} {DURABLE - 1}")
    assert not armed.exists()
    assert 2 * DURABLE == raw_rows(run_dir).num_rows
    destroy(trainer, writer)
    for name in growing(run_dir):
        if name != "run.log":
            os.truncate(run_dir / name, durable.get(name, 0))
    assert DURABLE == raw_rows(run_dir).num_rows
    age(run_dir)
    (said,) = recover(str(run_base))
    assert said.ok
    check_values(raw_rows(run_dir))
    run = run_yaml(run_dir)
    assert ("CRASHED", DURABLE) == (run["status"], run["rows_written"])
    assert DURABLE <= run["rows_logged"] == DURABLE + run["rows_missing"]


def test_zeros_are_no_values(tmp_path: Path) -> None:
    """A tail of the right length whose last bytes became zeros: that batch is not taken for rows.

    The message says how long it is, so it reads as whole; its checksum tells.
    """
    numbers = [float(n) for n in range(1, 1001)]
    store = VectorStore(str(tmp_path))
    for first in (0, 1000):
        steps = list(range(first, first + 1000))
        store.append(RowBlock("main", first, steps, steps, ("loss",), [numbers]))
        store.flush(sync=True)
    store.close()
    (tail,) = tmp_path.glob("vectors-*.arrow")
    size = tail.stat().st_size
    os.truncate(tail, size - 4000)
    os.truncate(tail, size)
    assert 2000 == raw_rows(tmp_path).num_rows  # as far as other readers can tell
    after = VectorStore(str(tmp_path))
    after.finish()
    after.close()
    assert numbers == raw_rows(tmp_path)["loss"].to_pylist()
    assert [] == list(tmp_path.glob("*.corrupt"))


# -- runs that say RUNNING ----------------------------------------------------------------


def leave_running(base: Path, name: str, host: Host) -> Path:
    """A run of long ago that says RUNNING: five rows in its tail."""
    run_dir = base / "old" / name
    run_dir.mkdir(parents=True)
    store = VectorStore(str(run_dir))
    numbers = list(range(5))
    store.append(RowBlock("main", 0, numbers, numbers, ("n",), [numbers]))
    store.flush(sync=True)
    store.close()
    meta = RunMetadata(name=name, experiment="old", host=host, rows_logged=7)
    meta.started_at = "2001-09-09T01:46:40.000000000Z"
    RunFile(str(run_dir)).write(meta)
    age(run_dir)
    return run_dir


def other(field: str) -> Host:
    fields = {"boot_id": this_host("shm").boot_id, "memory_id": this_host("shm").memory_id}
    return Host(**{"hostname": this_host("shm").hostname, **fields, field: "another"})


@pytest.mark.parametrize(
    ("host", "why"),
    [
        (this_host("shm"), "its shared memory is gone"),
        (other("boot_id"), "the machine was restarted"),
    ],
    ids=["died long ago", "another boot"],
)
def test_dead_runs_are_finished(run_base: Path, host: Host, why: str) -> None:
    """A run of this host whose writer and owner died long ago becomes CRASHED, from its files."""
    run_dir = leave_running(run_base, "run", host)
    assert [f"would recover {run_dir}: {why}"] == list(recover(str(run_base), dry_run=True))
    assert "RUNNING" == run_yaml(run_dir)["status"]
    (said,) = recover(str(run_base))
    assert said.ok
    run = run_yaml(run_dir)
    assert ("CRASHED", f"nobody ran it any more: {why}") == (run["status"], run["reason"])
    assert (7, 5, 2) == (run["rows_logged"], run["rows_written"], run["rows_missing"])
    assert list(range(5)) == raw_rows(run_dir)["n"].to_pylist()


@pytest.mark.parametrize(
    ("host", "why"),
    [
        (other("hostname"), "it was started on host another"),
        (other("memory_id"), "its shared memory is in another container"),
        (Host(), "it does not say on which host it runs"),
    ],
    ids=["another host", "another container", "no host"],
)
def test_runs_of_others_are_left_alone(run_base: Path, host: Host, why: str) -> None:
    """A run that may live elsewhere is only finished when the user says that it does not."""
    run_dir = leave_running(run_base, "run", host)
    before = (run_dir / "run.yaml").read_bytes()
    assert [f"left alone {run_dir}: {why} (--any-host recovers it)"] == list(recover(str(run_base)))
    assert before == (run_dir / "run.yaml").read_bytes()
    (said,) = recover(str(run_base), any_host=True)
    assert said.ok
    assert "CRASHED" == run_yaml(run_dir)["status"]
    assert list(range(5)) == raw_rows(run_dir)["n"].to_pylist()


def test_a_run_that_lives_is_left_alone(program, run_base: Path) -> None:
    """Recovery does not touch a run whose trainer and writer live, however old its run.yaml."""
    trainer = program("log_and_wait.py", run_base)
    run_dir = Path(trainer.read_line())
    wait_until((run_dir / "run.log").parent.exists, "the run")
    age(run_dir)
    assert [] == list(recover(str(run_base)))
    trainer.send_line("close")
    trainer.expect_line("closed")
    assert "FINISHED" == run_yaml(run_dir)["status"]
