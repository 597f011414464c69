"""Run.peek: rows that are only in shared memory, read without a trace."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest
from conftest import StartProgram

import expman
from expman.reading.peek import lanes_of, unwritten_rows
from expman.transport import producer
from expman.transport.address import new_address
from expman.transport.consumer import LaneConsumer
from expman.transport.hello import Hello

DEADLINE_S = 120.0

TRAINER = """
import sys, expman
engine = expman.LoggingEngine(expman.ExperimentConfig(
    "exp", sys.argv[1], run_name="r", flush_interval_ms=3_600_000, flush_interval_rows=10**9))
for seq in range(5):
    engine.log_vector({"a": seq, "t": "x"}, 10 * seq)
print("logged")
sys.stdin.readline()
engine.flush()
print("flushed")
sys.stdin.readline()
engine.close()
"""


def memory_of(run_dir: Path) -> str:
    """A digest of the lane's shared memory."""
    (lane,) = lanes_of(str(run_dir))
    name = lane.name
    paths = sorted(Path("/dev/shm").glob(f"{name}*"))
    assert len(paths) > 1
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def test_rows_of_another_process(program: StartProgram, run_base: Path) -> None:
    """Rows are seen before they are in a file, not after; the memory stays as it was."""
    trainer = program(["-c", TRAINER, str(run_base)])
    trainer.expect_line("logged")
    run = expman.Run(run_base / "exp" / "r")
    before = memory_of(Path(run.path))

    rows = run.peek()

    assert before == memory_of(Path(run.path))
    assert [(10 * n, {"a": n, "t": "x"}, "main", n) for n in range(5)] == [
        (row.step, row.values, row.producer, row.seq) for row in rows
    ]
    trainer.send_line()
    trainer.expect_line("flushed")
    assert [] == run.peek()
    assert 5 == run.vectors().num_rows
    trainer.send_line()
    trainer.succeed()
    assert [] == run.peek()


def test_peeking_at_a_run_of_the_same_process(run_base: Path) -> None:
    """A process that looks at its own run keeps the lock that says that it lives."""
    config = expman.ExperimentConfig("exp", run_base, run_name="r", flush_interval_ms=10**7)
    with expman.LoggingEngine(config) as engine:
        engine.log_vector({"a": 1.5}, 3)
        run = expman.Run(engine.run_dir)
        assert [{"a": 1.5}] == [row.values for row in run.peek()]
        assert [{"a": 1.5}] == [row.values for row in run.peek()]
        engine.flush()  # a writer that took its producer for dead would have ended the run
        assert run.is_live
        engine.log_vector({"a": 2.5}, 4)
        engine.flush()
    assert ("FINISHED", [1.5, 2.5]) == (run.status, run.vectors(["a"])["a"].to_pylist())


def test_peek_while_the_writer_reuses_terms() -> None:
    """Rows are never torn, mixed or numbered wrongly while terms are emptied and used again."""
    address, base = new_address(1 << 20)
    hello = Hello(
        role="owner",
        producer="main",
        pid=os.getpid(),
        started_at_ns=0,
        base_dir="/nowhere",
        experiment=address.token,
        run_name="r",
        language="python",
        env_path="",
        max_buffer_bytes=128 * 1024,
    )
    stop = threading.Event()
    lane = producer.LaneProducer(address, hello, on_wait=lambda: not stop.is_set())
    consumer = LaneConsumer(address, lane.lane)

    def drain() -> None:
        while not stop.is_set():
            while consumer.poll().records:
                pass
            consumer.control.written_rows = consumer.rows
            consumer.release()
            time.sleep(0.01)  # most looks are to find rows that are not written yet

    def log() -> None:
        seq = 0
        while not stop.is_set():
            lane.log_vector({"x": seq, "y": -seq}, seq)
            seq += 1

    threads = [threading.Thread(target=run, daemon=True) for run in (drain, log)]
    for thread in threads:
        thread.start()
    try:
        looks = seen = 0
        deadline = time.monotonic() + DEADLINE_S
        while (looks < 100 or not seen) and time.monotonic() < deadline:
            (view,) = lanes_of(f"/nowhere/{address.token}/r")
            rows = unwritten_rows(view)
            looks, seen = looks + 1, seen + len(rows)
            for row in rows:
                assert ({"x": row.seq, "y": -row.seq}, row.seq) == (row.values, row.step)
        assert seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE_S)
        consumer.remove()
        base.unlink()
        base.close()


@pytest.mark.parametrize("junk", [b"", b"x" * 64, b"\0" * 8192])
def test_other_memory_is_passed_by(tmp_path: Path, junk: bytes) -> None:
    """A file in /dev/shm that is no lane, or not one yet, is nobody's row."""
    path = Path("/dev/shm") / f"expman-{os.urandom(16).hex()}-0"
    path.write_bytes(junk)
    try:
        assert [] == lanes_of(str(tmp_path))
    finally:
        path.unlink()
