"""Lanes whose names were removed are found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from lanes import fresh_address, open_lane

from expman.transport import places, segment
from expman.writer.arrivals import Arrivals
from expman.writer.held import HeldAddress


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
