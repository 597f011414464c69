"""A run that is tried again only after a pause, and what falls into that pause."""

from __future__ import annotations

from pathlib import Path

from lanes import fresh_address, make_hello

from expman.models import RunStatus
from expman.transport.consumer import LaneConsumer
from expman.transport.gate import RunGate
from expman.transport.producer import LaneProducer
from expman.writer.run import RunWriter


def test_a_look_at_who_lives_is_made_up_for_after_a_pause(tmp_path: Path) -> None:
    """Lanes of workers that have gone are given back at the next try, whenever it comes."""
    (tmp_path / "lanes" / "run").mkdir(parents=True)
    hello = make_hello(base_dir=str(tmp_path))
    with fresh_address() as address:
        owner = LaneProducer(address, hello)
        worker = LaneProducer(address, hello, gate=RunGate.attach(address, owner.lane))
        worker.log_vector({"n": 1})
        run = RunWriter(hello)
        for lane in (owner, worker):
            run.lanes.add(LaneConsumer(address, lane.lane))
        run.serve(check=False)
        assert [owner.lane, worker.lane] == [lane.lane for lane in run.lanes.known]

        run.retry.pause(0.01, "the disk is full")
        assert not run.serve(check=True)
        while run.retry.is_pausing:
            pass
        run.serve(check=False)
        assert [owner.lane] == [lane.lane for lane in run.lanes.known]

        owner.close(RunStatus.FINISHED, None, 1.0)
        while not run.has_ended:
            run.serve(check=True)
