"""A run ends when it is known to have lived last, if no writer watched it die."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from lanes import fresh_address, make_hello

from expman.models import RunStatus
from expman.storage.times import iso, since_epoch_ns
from expman.transport.consumer import LaneConsumer
from expman.transport.producer import LaneProducer
from expman.writer.files import RunFiles
from expman.writer.open_run import LastSign

HOUR_NS = 3600 * 10**9


def test_the_latest_sign_counts() -> None:
    """Of several signs the latest is the end, whatever their order; nothing ends in the future."""
    sign = LastSign(owner_was_dead=True, time_ns=5)
    sign.note(9)
    sign.note(7)
    assert 9 == sign.ended_at_ns()
    sign.note(time.time_ns() + HOUR_NS)
    assert sign.ended_at_ns() <= time.time_ns()


def test_a_death_that_was_seen_is_now() -> None:
    """A writer that served the owner while it lived takes its own clock."""
    before = time.time_ns()
    assert before <= LastSign(owner_was_dead=False, time_ns=5).ended_at_ns() <= time.time_ns()


@pytest.mark.parametrize("text", [None, "", "yesterday"])
def test_a_time_that_cannot_be_read(text: str | None) -> None:
    """It is no sign."""
    assert 0 == since_epoch_ns(text)


def test_times_are_read_to_the_microsecond() -> None:
    """What `iso` writes comes back."""
    assert 1_700_000_000_123_456_000 == since_epoch_ns(iso(1_700_000_000_123_456_789))


@pytest.mark.parametrize("sign", ["start", "heartbeat", "recovery", "record"])
def test_the_end_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: str) -> None:
    """Its start, the heartbeat of the writer before, or its newest record: what came last.

    A recovery that was killed is no sign of life.
    """
    (tmp_path / "lanes" / "run").mkdir(parents=True)
    now_ns = time.time_ns()
    started = now_ns - 10 * HOUR_NS
    hello = make_hello(base_dir=str(tmp_path), started_at_ns=started)
    expected = {"start": 0.0, "record": 7200.0}.get(sign, 3600.0)
    with fresh_address() as address, monkeypatch.context() as patch:
        lane = LaneProducer(address, hello)
        consumer = LaneConsumer(address, lane.lane)
        if sign != "start":
            patch.setattr(time, "time_ns", lambda: started + HOUR_NS)
            files = RunFiles(hello, 0)
            files.commit(sync=True)
            files.close()
        if sign == "recovery":
            patch.setattr(time, "time_ns", lambda: started + 5 * HOUR_NS)
            files = RunFiles(hello, 1, owner_was_dead=True)
            files.commit(sync=True)
            files.close()
        if sign == "record":
            patch.setattr(time, "time_ns", lambda: started + 2 * HOUR_NS)
            lane.log_scalar("x", 1)
        patch.setattr(time, "time_ns", lambda: now_ns)
        files = RunFiles(hello, 1, owner_was_dead=True)
        files.add_lane(consumer)
        files.take(consumer, consumer.poll())
        files.commit()
        files.finish(RunStatus.CRASHED, None)
        consumer.remove()
    assert expected == files.run.meta.duration_secs
    assert started + int(expected) * 10**9 == pytest.approx(
        since_epoch_ns(files.run.meta.finished_at), abs=1000
    )
