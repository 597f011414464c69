"""Lanes whose names were removed are found, and those that cannot be opened at once."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from lanes import DEADLINE_S, fresh_address, make_hello, open_lane

from expman.transport import places, segment
from expman.transport.producer import LaneProducer
from expman.writer import arrivals as arrivals_module
from expman.writer.arrivals import Arrivals
from expman.writer.held import HeldAddress
from expman.writer.server import Server


@contextmanager
def nameless_lane(address: segment.Address, *, keeps_terms: bool) -> Iterator[int]:
    """A lane of another process, whose names a cleaner removes; its number."""
    reads, writes = os.pipe()
    ends, ended = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(ended)
            lane = open_lane(address)
            os.write(writes, b"%d" % lane.lane)
            os.read(ends, 1)
        finally:
            os._exit(0)
    try:
        number = int(os.read(reads, 100))
        for name in places.list_names(address.place, address.segment(number)):
            if not (keeps_terms and name.count("-") == 3):
                segment.remove(address.place, name)
        yield number
    finally:
        for fd in (reads, writes, ends, ended):
            os.close(fd)
        os.waitpid(child, 0)


@pytest.mark.parametrize("keeps_terms", [False, True])
def test_names_removed_before_the_writer_looks(keeps_terms: bool) -> None:
    """A cleaner that spares the address leaves the writer its number, which leads to the lane."""
    warnings: list[str] = []
    with fresh_address() as address:
        arrivals = Arrivals(HeldAddress(address), warnings.append)
        assert [] == arrivals.look()
        with nameless_lane(address, keeps_terms=keeps_terms) as number:
            (lane,) = arrivals.look()
            assert (number, True) == (lane.lane, lane.is_nameless)
            assert [] == arrivals.look() == warnings
            lane.close()


@contextmanager
def lane_of_the_dead(base_dir: Path) -> Iterator[segment.Address]:
    """An address with a lane, with one row, whose producer is gone."""
    with fresh_address() as address:
        child = os.fork()
        if not child:
            try:
                hello = make_hello(base_dir=str(base_dir), pid=os.getpid())
                LaneProducer(address, hello).log_vector({"n": 1})
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        yield address


def refuse(descriptors: int) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_a_lane_that_cannot_be_opened_yet_keeps_its_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trainer was killed while its writer had no descriptors: its rows are not given up."""
    (tmp_path / "lanes" / "run").mkdir(parents=True)
    with lane_of_the_dead(tmp_path) as address:
        serving = Server(address, starter="1:a process that is gone")
        with monkeypatch.context() as patch:
            patch.setattr(segment, "check_spare", refuse)
            serving.step()
            assert serving.idle
            assert not serving.remove_address()
            assert 1 < len(places.list_names(address.place, address.segment() + "-"))
        deadline = time.monotonic() + DEADLINE_S
        while not (serving.finished and serving.remove_address()):
            serving.step()
            assert time.monotonic() < deadline
        assert 1 == pq.read_metadata(tmp_path / "lanes" / "run" / "vectors.parquet").num_rows
        assert [] == places.list_names(address.place, address.segment())


def test_a_lane_that_cannot_be_opened_for_long_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer ends at last, and leaves the lane's memory to a recovery."""
    with lane_of_the_dead(tmp_path) as address:
        serving = Server(address, starter="1:a process that is gone")
        monkeypatch.setattr(segment, "check_spare", refuse)
        monkeypatch.setattr(arrivals_module, "ABANDON_S", 0.0)
        serving.step()
        assert serving.remove_address()
        assert 1 < len(places.list_names(address.place, address.segment() + "-"))
