"""Every count in run.yaml is true, whatever was lost: logged = written + dropped + missing."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from process.faulty import Obeying, check_values
from process.ledger import raw_rows
from process.runs import kill_writers, run_yaml, segments_of, wait_until, writer_of

from expman.transport import layout
from expman.writer.recover import recover as recover_all

ROWS, FLUSHED = 30_000, 100
COUNTS = ("rows_logged", "rows_written", "rows_dropped", "rows_missing")


def counts(run_dir: Path) -> tuple[int, ...]:
    return tuple(run_yaml(run_dir)[name] for name in COUNTS)


@pytest.fixture
def killed(program, run_base: Path):  # type: ignore[no-untyped-def]
    """A function that leaves ROWS rows in the memory of the dead, some of them in files."""

    def kill(*settings: str):  # type: ignore[no-untyped-def]
        trainer = Obeying(program, run_base, *settings)
        run_dir = trainer.open()
        writer = writer_of(trainer.process.pid)
        trainer(f"log {FLUSHED}")
        trainer("flush 120")
        os.kill(writer.pid, signal.SIGSTOP)
        trainer(f"log {ROWS - FLUSHED}")
        trainer.process.kill()
        kill_writers(writer.token, writer.pid)
        return run_dir, writer

    return kill


def terms(writer: Any) -> list[Path]:
    """The memory of the owner's terms, in order; see expman/transport/lane_words.py."""
    (name,) = (name for name in segments_of(writer) if name.count("-") == 2)
    data = Path("/dev/shm", name).read_bytes()[: layout.CONTROL_BYTES]
    words = memoryview(data).cast("Q")
    serials = range(words[layout.RELEASED_TERMS], words[layout.OPENED_TERMS])
    slots = [
        words[layout.TERM_TABLE + layout.TERM_WORDS * (n % layout.TERM_ENTRIES)] for n in serials
    ]
    return [Path("/dev/shm", f"{name}-{slot}") for slot in slots]


def recover(run_base: Path) -> str:
    """What `expman-writer recover` does and prints, in this process."""
    found = list(recover_all(str(run_base)))
    assert all(one.ok for one in found)
    return "".join(f"{one}\n" for one in found)


@pytest.mark.parametrize(
    ("which", "way"), [(0, "gone"), (1, "gone"), (0, "zeros"), (1, "cut"), (1, "holes")]
)
def test_lost_term(program, killed, run_base: Path, which: int, way: str) -> None:
    """Rows of a term that is gone or damaged are missing; `_seq` has a gap of that size."""
    run_dir, writer = killed()
    lost = terms(writer)[which]
    size = lost.stat().st_size
    if way == "gone":
        lost.unlink()
    elif way == "zeros":
        lost.write_bytes(bytes(size))
    elif way == "cut":
        os.truncate(lost, size // 2)
    else:
        data = bytearray(lost.read_bytes())
        data[size // 2 : size // 2 + 4096] = b"\xc1" * 4096
        lost.write_bytes(data)
    recover(run_base)
    table = raw_rows(run_dir)
    written = table.num_rows
    assert (ROWS, written, 0, ROWS - written) == counts(run_dir)
    assert written < ROWS
    check_values(table, table["n"].to_numpy())
    run = run_yaml(run_dir)
    assert "CRASHED" == run["status"]
    assert f"; {ROWS - written:,} rows are missing" in run["reason"]
    assert f"{ROWS - written:,} rows were logged and are not" in (run_dir / "run.log").read_text()
    seq = table["_seq"].to_numpy()
    gaps = np.flatnonzero(np.diff(np.concatenate([[-1], seq])) > 1)
    assert 1 == len(gaps)
    assert ROWS == seq[-1] + 1


def test_lost_open_term(program, killed, run_base: Path) -> None:
    """Of a term that was not sealed nobody knows how many rows it had; what was written counts."""
    run_dir, writer = killed()
    for lost in terms(writer):
        lost.unlink()
    recover(run_base)
    logged, written, dropped, missing = counts(run_dir)
    assert (FLUSHED, 0) == (written, dropped)
    assert logged == written + missing
    assert missing > ROWS / 2
    assert "how many rows were in it is not known" in (run_dir / "run.log").read_text()


def test_lost_term_with_drops(program, killed, run_base: Path) -> None:
    """Dropped rows are dropped, not missing, also those that a lost term spoke of."""
    run_dir, writer = killed("overflow=drop", "max_buffer_bytes=262144")
    terms(writer)[0].unlink()
    recover(run_base)
    table = raw_rows(run_dir)
    logged, written, dropped, missing = counts(run_dir)
    assert (ROWS, table.num_rows) == (logged, written)
    assert dropped > 0
    assert missing > 0
    assert ROWS == written + dropped + missing


DAMAGE = {"cut": b"name: ru", "zeros": bytes(700), "rubbish": b"\xff\xfe: [", "empty": b""}


def kill_both(program, run_base: Path) -> tuple[Path, Any, dict[str, Any]]:  # type: ignore[no-untyped-def]
    """A dead run of ten rows; its writer, and what run.yaml had."""
    trainer = Obeying(program, run_base, "description=what it is")
    run_dir = trainer.open()
    writer = writer_of(trainer.process.pid)
    trainer("more 10")
    trainer("flush 120")
    before = run_yaml(run_dir)
    os.kill(writer.pid, signal.SIGSTOP)
    trainer.process.kill()
    kill_writers(writer.token, writer.pid)
    return run_dir, writer, before


@pytest.mark.parametrize("way", DAMAGE)
def test_damaged_run_yaml(program, run_base: Path, way: str) -> None:
    """Of a dead run: scalars, description, tags and start come back; the damaged file is kept."""
    run_dir, _, before = kill_both(program, run_base)
    check_damaged(run_dir, before, way)


def test_damaged_run_yaml_without_memory(program, run_base: Path, tmp_path: Path) -> None:
    """The same where shared memory is gone, too."""
    _, writer, before = kill_both(program, run_base)
    for name in segments_of(writer):
        Path("/dev/shm", name).unlink()
    for way in DAMAGE:
        base = tmp_path / way
        shutil.copytree(run_base, base)
        check_damaged(base / "faults" / "run", before, way)


def check_damaged(run_dir: Path, before: dict[str, Any], way: str) -> None:
    (run_dir / "run.yaml").write_bytes(DAMAGE[way])
    os.utime(run_dir / "run.yaml", (10**9, 10**9))
    recover(run_dir.parents[1])
    after = run_yaml(run_dir)
    keys = ("name", "experiment", "scalars", "description", "started_at", "host", "vectors")
    assert [before[key] for key in keys] == [after[key] for key in keys]
    assert {"logged": 10} == after["scalars"]
    assert "CRASHED" == after["status"]
    assert (10, 10, 0, 0) == counts(run_dir)
    assert not (run_dir / ".run.journal").exists()
    if way in ("zeros", "rubbish"):
        assert DAMAGE[way] == (run_dir / "run.yaml.corrupt").read_bytes()
        assert "run.yaml.corrupt, its content comes" in (run_dir / "run.log").read_text()


def test_an_unreadable_lane(program, run_base: Path) -> None:
    """A lane that no one can read is said in run.log, run.yaml and the reason."""
    trainer = Obeying(program, run_base)
    run_dir = trainer.open()
    writer = writer_of(trainer.process.pid)
    trainer("log 10")
    trainer("flush 120")
    (owner,) = (name for name in segments_of(writer) if name.count("-") == 2)
    data = bytearray(Path("/dev/shm", owner).read_bytes())
    data[layout.CONTROL_BYTES :] = b"\xc1" * len(data[layout.CONTROL_BYTES :])
    lane = Path("/dev/shm", f"expman-{writer.token}-12345")
    lane.touch(0o600)
    try:
        lane.write_bytes(data)
        with Path("/dev/shm", f"expman-{writer.token}").open("r+b") as file:
            file.seek(8 * layout.NEWS)
            file.write(b"another.")
        log = run_dir / "run.log"
        wait_until(lambda: "cannot be read and was left alone" in log.read_text(), "a line")
        trainer("close 120")
    finally:
        lane.unlink()
    run = run_yaml(run_dir)
    assert ("FINISHED", 1) == (run["status"], run["lanes_unreadable"])
    assert "1 lane could not be read" in run["reason"]
    assert 10 == run["rows_written"]


def test_flush_says_what_is_missing(program, run_base: Path) -> None:
    """Rows that are known to be missing are named by flush(), once, and are not durable."""
    trainer = Obeying(program, run_base)
    for number in range(5):
        run_dir = trainer.open(f"run-{number}")
        trainer("log 10")
        trainer("flush 120")
        shutil.rmtree(run_dir)
        trainer("log 10")
        error = trainer.try_("flush 120")["error"]
        if error is not None:
            break
        # A rewrite was under way, and had all rows in hand: the files have them.
        trainer("close 120")
        assert (20, 20, 0, 0) == counts(run_dir)
    assert "10 rows are missing" in error
    trainer("flush 120")
    trainer("close 120")
    assert (20, 10, 0, 10) == counts(run_dir)
