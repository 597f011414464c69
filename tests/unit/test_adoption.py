"""A lane's name and first seq are its own, whichever writer gives them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from lanes import fresh_address, make_hello

from expman.models import RunStatus
from expman.transport.consumer import LaneConsumer
from expman.transport.gate import RunGate
from expman.transport.producer import LaneProducer
from expman.writer.run import RunWriter


def test_a_name_that_a_predecessor_gave_is_not_given_again(tmp_path: Path) -> None:
    """A lane with a lower number that had no name yet costs no row of the one that had."""
    run_dir = tmp_path / "lanes" / "run"
    run_dir.mkdir(parents=True)
    hello = make_hello(base_dir=str(tmp_path))
    with fresh_address() as address:
        owner = LaneProducer(address, hello)
        workers = []
        for number in range(2):
            worker = LaneProducer(address, hello, gate=RunGate.attach(address, owner.lane))
            for n in range(10):
                worker.log_vector({"worker": number, "n": n})
            workers.append(worker)
        # The predecessor was killed after it had named the second worker's lane alone.
        named = LaneConsumer(address, workers[1].lane)
        named.control.name_number = 0
        named.control.adopted = True
        named.close()
        owner.close(RunStatus.FINISHED, None, 1.0)

        run = RunWriter(hello)
        for lane in (owner, *workers):
            run.lanes.add(LaneConsumer(address, lane.lane))
        while not run.has_ended:
            run.serve(check=True)
            assert run.write_error is None

    table = pq.read_table(run_dir / "vectors.parquet")
    rows = sorted(zip(table["worker"].to_pylist(), table["n"].to_pylist(), strict=True))
    assert [(number, n) for number in range(2) for n in range(10)] == rows
