"""The machine went: shared memory is gone, and files end anywhere behind their last fsync.

Simulated: everything is killed, shared memory is removed, and files are cut behind the size that
they had when flush() returned, some with zeros behind the cut, as file systems leave them.
"""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import time
from pathlib import Path

import msgspec
import pytest
from lanes import MADE_AT_S, HandLane, fresh_address, make_hello
from process.ledger import Ledger, check_values, raw_rows
from process.runs import kill_writers, run_yaml, segments_of, wait_until, writer_of

from expman import ExperimentConfig, LoggingEngine
from expman.metadata import RunMetadata
from expman.models import Host
from expman.storage.times import iso
from expman.storage.vectors import RowBlock, VectorStore
from expman.storage.yamlfile import RunFile
from expman.transport import layout
from expman.transport.identity import this_host
from expman.writer.files import RunFiles
from expman.writer.recover import recover
from expman.writer.sinks.metadata import HEARTBEAT_S

SEED = 20_260_204
CUTS = 8
DURABLE, ROWS = 3000, 9000
NOBODY = 65534
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
    trainer = program("log_for_ledger.py", options, env={"EXPMAN_FAILPOINTS": STAY_IN_TAIL})
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
            least = durable.get(name, 0)
            # However busy the machine is: nothing but what is durable at first, then everything.
            cut = {0: least, 1: size}.get(number, chance.randint(least, size))
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

    Cut to what was fsynced, the files hold exactly the rows up to it. Which fsync comes next,
    flush()'s or one that was due by then, depends on the machine: each has new rows before it.
    """
    ledger = Ledger(tmp_path / "ledger")
    options = ledger.options(
        run_base, rows=2 * DURABLE, flush_at=DURABLE, flush_again=True, others=False, end="wait"
    )
    armed = tmp_path / "armed"
    faults = f"tail-sync=stop@1:{armed},{STAY_IN_TAIL}"
    trainer = program("log_for_ledger.py", options, env={"EXPMAN_FAILPOINTS": faults})
    run_dir = Path(trainer.read_line())
    writer = writer_of(trainer.pid)
    trainer.expect_line(f"durable {DURABLE - 1} {DURABLE - 1}")
    durable = growing(run_dir)
    armed.touch()
    trainer.send_line()
    # flush() gave up: more rows are appended, and not one of them counts as durable.
    trainer.expect_line(f"not durable {DURABLE - 1} {DURABLE - 1}")
    assert not armed.exists()
    assert DURABLE < raw_rows(run_dir).num_rows <= 2 * DURABLE
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
    meta.heartbeat_at = "2001-09-09T01:46:40.000Z"
    RunFile(str(run_dir)).write(meta)
    age(run_dir)
    return run_dir


def other(**fields: object) -> Host:
    return msgspec.structs.replace(this_host("shm"), **fields)


@pytest.mark.parametrize(
    ("host", "why"),
    [
        (this_host("shm"), "its shared memory is gone"),
        (other(boot_id="another"), "the machine was restarted"),
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
    reason = f"nobody ran it any more: {why}; 2 rows are missing"
    assert ("CRASHED", reason) == (run["status"], run["reason"])
    assert (7, 5, 2) == (run["rows_logged"], run["rows_written"], run["rows_missing"])
    assert list(range(5)) == raw_rows(run_dir)["n"].to_pylist()


@pytest.mark.parametrize(
    ("host", "why"),
    [
        (other(hostname="another"), "it was started on host another"),
        (other(memory_id="another"), "its shared memory is in another container"),
        (
            other(machine_id="another", boot_id="another"),
            f"it was started on another machine that is called {this_host('shm').hostname}, too",
        ),
        (Host(), "it does not say on which host it runs"),
    ],
    ids=["another host", "another container", "same host name", "no host"],
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


def test_a_run_whose_lane_may_be_of_another_version(run_base: Path) -> None:
    """Its lane cannot be read: what is in it must not be taken for gone."""
    run_dir = leave_running(run_base, "run", this_host("shm"))
    why = "another version of expman has lanes in shared memory; recover it with that"
    meta = RunFile(str(run_dir)).read()
    meta.started_at = iso(MADE_AT_S * 10**9)
    RunFile(str(run_dir)).write(meta)
    age(run_dir)
    with fresh_address() as address:
        HandLane(address).word(8 * layout.VERSION, layout.LAYOUT_VERSION - 1)
        (line,) = recover(str(run_base))
        assert line.startswith(f"left alone {run_dir}: {why}")
        assert "RUNNING" == run_yaml(run_dir)["status"]
    (after,) = recover(str(run_base))
    assert after.ok
    assert "CRASHED" == run_yaml(run_dir)["status"]


def test_the_end_of_a_run_whose_recovery_was_killed(run_base: Path) -> None:
    """What that one has written later does not count: run.yaml was not renewed meanwhile."""
    run_dir = leave_running(run_base, "run", this_host("shm"))
    assert time.time() - 3600 < (run_dir / "vectors-0001.arrow").stat().st_mtime
    (said,) = recover(str(run_base), any_host=True)
    assert said.ok
    assert 0 <= run_yaml(run_dir)["duration_secs"] <= HEARTBEAT_S


def test_a_run_that_was_renewed_lately_lives(run_base: Path) -> None:
    """One sign is not enough: not without its memory, nor for a user who says that it is dead."""
    run_dir = leave_running(run_base, "run", other(boot_id="another"))
    os.utime(run_dir / "run.yaml")
    for any_host in (False, True):
        (said,) = recover(str(run_base), any_host=any_host)
        assert said.startswith(f"left alone {run_dir}: it was alive ")
    assert "RUNNING" == run_yaml(run_dir)["status"]
    assert sorted(path.name for path in run_dir.iterdir()) == ["run.yaml", "vectors-0001.arrow"]


def test_a_run_of_an_earlier_version_needs_a_day(run_base: Path) -> None:
    """It has no heartbeat: an idle one looks as if it were dead."""
    run_dir = leave_running(run_base, "run", other(boot_id="another", machine_id="", uid=None))
    meta = RunFile(str(run_dir)).read()
    meta.heartbeat_at = None
    RunFile(str(run_dir)).write(meta)
    hour_ago = time.time() - 3600
    os.utime(run_dir / "run.yaml", (hour_ago, hour_ago))
    (said,) = recover(str(run_base))
    assert f"left alone {run_dir}: an earlier version" in said
    age(run_dir)
    (said,) = recover(str(run_base))
    assert said.startswith(f"recovered {run_dir}")


@pytest.mark.root
def test_a_run_of_another_user_is_left_alone(run_base: Path) -> None:
    """Nobody else can open his memory, not even root: that he has some is enough."""
    run_dir = leave_running(run_base, "run", other(uid=NOBODY))
    memory = Path("/dev/shm", f"expman-{os.urandom(16).hex()}")
    memory.touch()
    try:
        os.chown(memory, NOBODY, NOBODY)
        (said,) = recover(str(run_base))
        why = f"it is the run of another user (uid {NOBODY})"
        assert f"left alone {run_dir}: {why} (--any-host recovers it)" == said
    finally:
        memory.unlink()
    (said,) = recover(str(run_base))
    assert said.startswith(f"recovered {run_dir}")


def test_what_a_run_holds_decides_nothing(run_base: Path) -> None:
    """A finished run whose texts look like a status stays as it is."""
    text = "status: RUNNING"
    config = ExperimentConfig("e", str(run_base), run_name="r", description=text, tags=(text,))
    with LoggingEngine(config) as engine:
        engine.log_vector({text: text}, 0)
        engine.log_scalar("status", "RUNNING")
    run_dir = run_base / "e" / "r"
    age(run_dir)
    assert [] == list(recover(str(run_base)))
    assert "FINISHED" == run_yaml(run_dir)["status"]


def test_no_run_costs_another(run_base: Path) -> None:
    """What cannot be recovered is named; the runs behind it are recovered."""
    bad = {}
    for name in ("a", "b", "c", "d"):
        bad[name] = leave_running(run_base, name, this_host("shm"))
    last = leave_running(run_base, "z", this_host("shm"))
    (bad["a"] / "run.yaml").unlink()
    os.mkfifo(bad["a"] / "run.yaml")
    (bad["b"] / "run.log").mkdir()
    os.mkfifo(bad["c"] / "vectors.parquet")
    (bad["d"] / "run.yaml").write_text("status: RUNNING\nhost: [1]\n")
    age(bad["d"])
    list(recover(str(run_base)))
    for run_dir in (bad["b"], bad["c"], last):
        assert "CRASHED" == run_yaml(run_dir)["status"], run_dir
        assert list(range(5)) == raw_rows(run_dir)["n"].to_pylist()


def test_a_live_run_renews_its_heartbeat(tmp_path: Path) -> None:
    """Without a new row, and without a new run.yaml where that takes long to write."""
    run_dir = tmp_path / "lanes" / "run"
    run_dir.mkdir(parents=True)
    files = RunFiles(make_hello(base_dir=str(tmp_path)), 0)
    files.commit()
    assert not files.is_due()
    first = run_yaml(run_dir)["heartbeat_at"]
    schedule = files.metadata._schedule
    for next_write in (0.0, math.inf):
        age(run_dir)
        schedule.next_heartbeat, schedule.next_write = 0.0, next_write
        assert files.is_due()
        files.commit()
        assert not files.is_due()
        assert LONG_AGO < (run_dir / "run.yaml").stat().st_mtime
    assert first < run_yaml(run_dir)["heartbeat_at"]
    files.close()


def test_a_heartbeat_leaves_the_rest_of_run_yaml_as_it_is(tmp_path: Path) -> None:
    """Also where it takes long to express: only the line with the time is another one."""
    run_dir = tmp_path / "lanes" / "run"
    run_dir.mkdir(parents=True)
    files = RunFiles(make_hello(base_dir=str(tmp_path)), 0)
    files.commit()
    before = (run_dir / "run.yaml").read_text().splitlines()
    schedule = files.metadata._schedule
    schedule.next_write = math.inf
    schedule.next_heartbeat = schedule.next_stamp = 0.0
    files.commit()
    after = (run_dir / "run.yaml").read_text().splitlines()
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert [True] == [line.startswith("heartbeat_at: '20") for line in changed]
    files.close()


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
