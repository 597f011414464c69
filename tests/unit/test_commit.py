"""When the writer writes: at the latest when a producer would have to wait for memory."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow.parquet as pq
from lanes import fresh_address, make_hello

from expman.models import RunStatus
from expman.transport.consumer import LaneConsumer
from expman.transport.producer import LaneProducer
from expman.writer.files import RunFiles
from expman.writer.run import RunWriter

ROWS = 5_000
SETS = 1_200


def test_a_lane_that_fills_up_does_not_wait_for_the_interval(tmp_path: Path) -> None:
    """Its memory is given back in time, whatever the flush interval says."""
    run_dir = tmp_path / "lanes" / "run"
    run_dir.mkdir(parents=True)
    hello = make_hello(
        base_dir=str(tmp_path),
        max_buffer_bytes=64 * 1024,
        flush_interval_rows=10**9,
        flush_interval_ms=10**9,
    )
    run = RunWriter(hello)
    deadline = time.monotonic() + 120

    def serve() -> bool:
        run.serve(check=False)
        return time.monotonic() < deadline

    with fresh_address() as address:
        lane = LaneProducer(address, hello, on_wait=serve)
        run.lanes.add(LaneConsumer(address, lane.lane))
        for n in range(ROWS):
            lane.log_vector({"n": n, "half": n / 2}, n)
        assert 0 == lane.dropped_rows  # as it would drop where no writer gives memory back
        lane.close(RunStatus.FINISHED, None, 1.0)
        while not run.has_ended:
            run.serve(check=True)
            assert run.write_error is None

    assert list(range(ROWS)) == pq.read_table(run_dir / "vectors.parquet")["n"].to_pylist()


def test_names_are_forgotten(tmp_path: Path) -> None:
    """Sets of names in turns, each defined in every term: rows are right, and few sets are kept."""
    (tmp_path / "lanes" / "run").mkdir(parents=True)
    hello = make_hello(base_dir=str(tmp_path), max_buffer_bytes=64 * 1024)
    most = 0
    with fresh_address() as address:
        lane = LaneProducer(address, hello, on_wait=lambda: False)
        consumer = LaneConsumer(address, lane.lane)
        files = RunFiles(hello, 0)
        files.add_lane(consumer)
        for n in range(2 * SETS):
            lane.log_vector({f"m{n % 50}": n, f"set{n % SETS}": "text"}, n)
            if n % 100 == 0:
                files.take(consumer, consumer.poll())
                files.commit()
                most = max(most, len(files.run.lanes[consumer.lane].schemas))
        lane.close(RunStatus.FINISHED, None, 1.0)
        while not consumer.at_end():
            files.take(consumer, consumer.poll())
        while not files.settle():
            pass
        files.finish(RunStatus.FINISHED, None)
        consumer.remove()
    assert most < SETS
    table = pq.read_table(tmp_path / "lanes" / "run" / "vectors.parquet", columns=["step", "m7"])
    assert list(range(2 * SETS)) == table["step"].to_pylist()
    assert list(range(7, 2 * SETS, 50)) == table["m7"].drop_null().to_pylist()
