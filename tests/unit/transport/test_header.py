"""Headers: one place stamps and checks them, whoever opens a segment."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from lanes import HandLane, fresh_address, make_hello, open_lane

from expman.errors import CorruptLaneError, LayoutVersionError
from expman.reading.peek import lanes_of
from expman.transport import layout, segment
from expman.transport.address_control import AddressControl
from expman.transport.consumer import LaneConsumer
from expman.transport.gate import RunGate
from expman.transport.lane_view import LaneView
from expman.transport.segment import Address

Open = Callable[[Address, int], object]
ALL = pytest.mark.parametrize("open_it", [LaneConsumer, RunGate.attach, LaneView])


@pytest.fixture
def lane(address: Address) -> HandLane:
    """A lane whose bytes the test lays."""
    return HandLane(address)


@ALL
def test_another_version(lane: HandLane, open_it: Open) -> None:
    """Writer, worker and reader alike name both versions and say what to do."""
    lane.word(8, 7)

    with pytest.raises(LayoutVersionError, match=r"version 7\b.* version") as caught:
        open_it(lane.address, 0)

    assert (7, layout.LAYOUT_VERSION) == (caught.value.found, caught.value.expected)


@ALL
def test_another_magic_number(lane: HandLane, open_it: Open) -> None:
    """What is not a lane is not read."""
    lane.control[0:8] = b"expmanT1"

    with pytest.raises(CorruptLaneError, match="not a lane"):
        open_it(lane.address, 0)


@ALL
@pytest.mark.parametrize("size", [8, 24, 64, 8188])
def test_too_short(address: Address, size: int, open_it: Open) -> None:
    """A segment that ends before its words do is refused, not read beyond its end."""
    memory = segment.create(address.place, address.segment(0), size)
    mapping = memory.map()
    header = b"expmanL1" + layout.LAYOUT_VERSION.to_bytes(8, "little") + b"\1" + bytes(7)
    mapping[: min(size, 24)] = header[:size]

    with pytest.raises((CorruptLaneError, FileNotFoundError)):
        open_it(address, 0)
    memory.close()


@ALL
def test_a_damaged_hello(lane: HandLane, open_it: Open) -> None:
    """CorruptLaneError, whatever msgspec says."""
    lane.control[8192:8194] = b"\xc1\xc1"

    with pytest.raises(CorruptLaneError, match="hello"):
        open_it(lane.address, 0)


@ALL
@pytest.mark.root
def test_another_user(lane: HandLane, open_it: Open) -> None:
    """A segment that another user planted is not opened."""
    os.chown(f"/dev/shm/{lane.address.segment(0)}", 12345, -1)

    with pytest.raises(PermissionError):
        open_it(lane.address, 0)
    os.chown(f"/dev/shm/{lane.address.segment(0)}", os.geteuid(), -1)


def test_a_reader_passes_by_what_it_cannot_read(lane: HandLane) -> None:
    """One lane of another version hides no other."""
    lane.word(8, 7)

    assert lane.address.segment(0) not in {view.name for view in lanes_of(make_hello().run_dir)}


@pytest.mark.parametrize("word", [0, 1])
def test_the_address_of_another_version(address: Address, word: int) -> None:
    """Nobody claims a lane, or serves, where the words stand elsewhere."""
    base = segment.attach(address.place, address.segment())
    mapping = base.map()
    mapping[8 * word] ^= 1

    with pytest.raises((CorruptLaneError, LayoutVersionError)):
        AddressControl.open(base)
    with pytest.raises((CorruptLaneError, LayoutVersionError)):
        open_lane(address)
    mapping[8 * word] ^= 1
    base.close()
    with fresh_address() as other:
        open_lane(other).take_back()
