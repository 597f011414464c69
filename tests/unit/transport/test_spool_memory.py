"""Spools in shared memory: used again once they are free, bounded, and gone with their lane."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest
from lanes import open_lane

from expman.errors import CorruptLaneError
from expman.transport import layout, places, segment, spool_memory
from expman.transport.consumer import LaneConsumer
from expman.transport.producer import LaneProducer
from expman.transport.segment import Address
from expman.transport.spool_memory import CarriedMedium, MemorySpools, SpoolMappings, is_memory_name

SIZE = 100_000


@pytest.fixture
def lane(address: Address) -> Iterator[LaneProducer]:
    """A lane whose spools may have 4 MiB."""
    lane = open_lane(address, max_bytes=16 << 20)
    yield lane
    lane._own.close()
    lane.let_go()


@pytest.fixture
def spools(lane: LaneProducer) -> MemorySpools:
    found = lane.spools
    assert found is not None
    return found


def carried(lane: LaneProducer, name: str | None, size: int = SIZE) -> CarriedMedium:
    """A medium as the writer of the lane finds it."""
    assert name is not None
    assert is_memory_name(name)
    return LaneConsumer(lane.address, lane.lane).carried(name, size)


def names(lane: LaneProducer) -> list[str]:
    return places.list_names(places.SHM, f"{lane.address.segment(lane.lane)}-m")


def test_a_spool_is_used_again_once_it_is_freed(lane: LaneProducer, spools: MemorySpools) -> None:
    """Until then its content stays, and another medium gets another one."""
    first, second = spools.put(b"a" * SIZE), spools.put(b"b" * SIZE)
    held = carried(lane, first)
    assert b"a" * SIZE == held.content()
    assert b"b" * SIZE == carried(lane, second).content()
    held.free()
    held.free()
    third = spools.put(b"c" * SIZE)
    assert b"c" * SIZE == carried(lane, third).content()
    assert 2 == len(names(lane))


def test_a_record_that_comes_again_frees_no_later_medium(
    lane: LaneProducer, spools: MemorySpools
) -> None:
    """A successor reads records whose media are kept, and whose spools hold others by then."""
    old = spools.put(b"a" * SIZE)
    carried(lane, old).free()
    new = spools.put(b"b" * SIZE)
    carried(lane, old).free()
    with pytest.raises(CorruptLaneError, match="holds another one"):
        carried(lane, old).content()
    spools.put(b"c" * SIZE)
    assert b"b" * SIZE == carried(lane, new).content()


def test_what_was_not_published_is_taken_back(spools: MemorySpools, lane: LaneProducer) -> None:
    """Its spool serves the next one; a name of another time takes nothing back."""
    first = spools.put(b"a" * SIZE)
    assert first is not None
    spools.take_back(first)
    second = spools.put(b"b" * SIZE)
    assert first == second
    carried(lane, second).free()
    third = spools.put(b"c" * SIZE)
    spools.take_back(first)
    assert b"c" * SIZE == carried(lane, third).content()
    assert 1 == len(names(lane))


def test_an_interrupt_of_the_copy_costs_no_spool(lane: LaneProducer, spools: MemorySpools) -> None:
    """Nor does another failure of it: no record names the spool, which serves the next one."""
    spools.put(b"a" * SIZE)
    for _ in range(spool_memory.MOST_SPOOLS):
        with pytest.raises(ValueError, match="different"):
            spools.put(memoryview(bytes(2 * SIZE)).cast("B", (SIZE, 2)))  # fails in the copy
    assert spools.put(b"b" * SIZE) is not None
    assert 2 == len(names(lane))


def test_spools_are_bounded(lane: LaneProducer, spools: MemorySpools) -> None:
    """In number and size; those that are too small make room for a large one."""
    found = [spools.put(b"a" * SIZE) for _ in range(spool_memory.MOST_SPOOLS + 1)]
    assert [None] == found[-1:]
    assert None not in found[:-1]
    assert spools.put(bytes(4 << 20)) is None
    for name in found[:-1]:
        carried(lane, name).free()
    large = spools.put(bytes(3 << 20))
    assert bytes(3 << 20) == carried(lane, large, 3 << 20).content()
    assert 1 == len(names(lane))
    assert spools.put(bytes(1 << 20)) is None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE, errno.ENOMEM])
def test_no_room_is_no_error(
    spools: MemorySpools, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Memory is reserved before it is touched: where that fails, a file has the medium."""

    def full(*_: object) -> None:
        raise OSError(code, "no room")

    monkeypatch.setattr(segment.os, "posix_fallocate", full)
    assert spools.put(bytes(SIZE)) is None


def test_a_full_place_is_left_to_the_lanes(
    spools: MemorySpools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spools take a quarter of what is free at most."""
    monkeypatch.setattr(places, "free_bytes", lambda _: 1 << 20)
    assert spools.put(bytes(SIZE)) is not None
    assert spools.put(bytes(1 << 19)) is None


def test_a_spool_that_comes_too_late(lane: LaneProducer, spools: MemorySpools) -> None:
    """The lane is being removed: nobody would remove it."""
    lane.control.run_ended = True
    assert spools.put(bytes(SIZE)) is None
    assert [] == names(lane)


def test_a_lane_takes_its_spools_with_it(lane: LaneProducer, spools: MemorySpools) -> None:
    """Those of a killed producer, too: the writer removes all names of the lane."""
    spools.put(bytes(SIZE))
    LaneConsumer(lane.address, lane.lane).remove()
    assert [] == names(lane)


def test_a_spool_without_a_name_is_found(lane: LaneProducer, spools: MemorySpools) -> None:
    """A cleaner took the name: the producer still has the memory."""
    name = spools.put(b"a" * SIZE)
    (file,) = names(lane)
    segment.remove(places.SHM, file)
    with pytest.raises(FileNotFoundError):
        LaneConsumer(lane.address, lane.lane).carried("m7-1", SIZE).content()
    control = lane.address.segment(lane.lane)
    found = CarriedMedium(SpoolMappings(control, places.SHM, os.getpid()), str(name), SIZE)
    assert b"a" * SIZE == found.content()


def test_a_spool_stays_mapped(lane: LaneProducer, spools: MemorySpools) -> None:
    """Its name was removed and its producer is gone: what it holds is there, as rows are."""
    gone = 2**22 + 1
    mappings = SpoolMappings(lane.address.segment(lane.lane), places.SHM, gone)
    first = spools.put(b"a" * SIZE)
    CarriedMedium(mappings, str(first), SIZE).free()
    (file,) = names(lane)
    segment.remove(places.SHM, file)
    second = spools.put(b"b" * SIZE)
    assert b"b" * SIZE == CarriedMedium(mappings, str(second), SIZE).content()
    mappings.clear()
    with pytest.raises(FileNotFoundError):
        CarriedMedium(mappings, str(second), SIZE).content()


def test_few_spools_stay_mapped(lane: LaneProducer, spools: MemorySpools) -> None:
    """Those that the producer has given up take no memory for long."""
    mappings = SpoolMappings(lane.address.segment(lane.lane), places.SHM, os.getpid())
    for size in range(SIZE, 20 * SIZE, 3 * SIZE):
        name = spools.put(bytes(size))
        CarriedMedium(mappings, str(name), size).free()
    assert spool_memory.MOST_SPOOLS == len(mappings._spools)


def test_damage_costs_the_medium_alone(lane: LaneProducer, spools: MemorySpools) -> None:
    """A spool that is something else, or too short, is an error of its medium."""
    name = spools.put(b"a" * SIZE)
    with pytest.raises(CorruptLaneError):
        carried(lane, name, 1 << 30).content()
    spools._spools[0].words[layout.MAGIC] = 0
    with pytest.raises(CorruptLaneError, match="not a spool"):
        carried(lane, name).content()
    carried(lane, name).free()
    assert not is_memory_name("../m1-1")
    assert not is_memory_name("m1-1.spool")


def test_a_call_that_comes_between_waits_for_nobody(spools: MemorySpools) -> None:
    """A signal handler's picture, in the middle of another one, goes into a file."""
    with spools._lock:
        assert spools.put(bytes(SIZE)) is None
    assert spools.put(bytes(SIZE)) is not None
