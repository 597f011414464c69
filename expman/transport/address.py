"""The segment in which producers and the writer of an address meet."""

from __future__ import annotations

from expman.errors import CorruptLaneError, LayoutVersionError
from expman.transport import layout, segment

__all__ = ["check_address", "claim_lane", "find_lanes", "new_address", "revive_address"]


def new_address(room_bytes: int) -> tuple[segment.Address, segment.Segment]:
    """Makes an address where that much memory can be had for lanes.

    Raises:
        SharedMemoryError: neither /dev/shm nor the temporary directory has room.
    """
    address, base = segment.create_anywhere(layout.ADDRESS_BYTES, room_bytes)
    _stamp(base)
    return address, base


def revive_address(address: segment.Address, next_lane: int) -> None:
    """Makes an address anew that was removed while it had lanes.

    Args:
        address: the address; one that is there is kept as it is.
        next_lane: no absent lane below this number is waited for.

    Raises:
        OSError: no memory.
    """
    try:
        base = segment.create(address.place, address.segment(), layout.ADDRESS_BYTES)
        _stamp(base)
    except FileExistsError:
        base = segment.attach(address.place, address.segment())
    words = memoryview(base.map()).cast("Q")
    words[layout.NEXT_LANE] = max(words[layout.NEXT_LANE], next_lane)
    base.close()


def check_address(words: memoryview, name: str) -> None:
    """Checks that it is an address of this layout.

    Raises:
        CorruptLaneError, LayoutVersionError: it is not.
    """
    if words[layout.MAGIC] != layout.MAGIC_ADDRESS:
        raise CorruptLaneError(name, 0, "no magic number: this is no address")
    if words[layout.VERSION] != layout.LAYOUT_VERSION:
        raise LayoutVersionError(name, words[layout.VERSION], layout.LAYOUT_VERSION)


def find_lanes(place: str) -> dict[segment.Address, list[int]]:
    """The addresses of this user in a place, each with the numbers of its lanes, sorted."""
    found: dict[segment.Address, list[int]] = {}
    for name in segment.list_names(place):
        token, *numbers = name.removeprefix(segment.PREFIX).split("-")
        if len(token) != 32 or len(numbers) > 1:  # a term
            continue
        lanes = found.setdefault(segment.Address(place, token), [])
        lanes += [int(number) for number in numbers if number.isdecimal()]
    return {address: sorted(lanes) for address, lanes in found.items()}


def _stamp(base: segment.Segment) -> None:
    words = memoryview(base.map()).cast("Q")
    words[layout.VERSION] = layout.LAYOUT_VERSION
    words[layout.MAGIC] = layout.MAGIC_ADDRESS


def claim_lane(address: segment.Address, size: int) -> tuple[int, segment.Segment]:
    """Takes the next free lane number by an exclusive create.

    Args:
        address: where.
        size: bytes of the lane's control.

    Raises:
        FileNotFoundError: the address is gone.
    """
    base = segment.attach(address.place, address.segment())
    try:
        words = memoryview(base.map()).cast("Q")
        lane = words[layout.NEXT_LANE]
        while True:
            try:
                control = segment.create(address.place, address.segment(lane), size)
            except FileExistsError:
                lane += 1
                continue
            # The writer probes numbers in order and never goes back: a number that it
            # had passed before this segment existed would never be found.
            if words[layout.NEXT_LANE] <= lane:
                return lane, control
            control.unlink()
            control.close()
            lane = words[layout.NEXT_LANE]
    finally:
        base.close()
